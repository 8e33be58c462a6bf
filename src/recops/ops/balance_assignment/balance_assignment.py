"""Assignment to the nearest codewords under a capacity of each."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recops._checks import FLOATS, check_number, check_tensor
from recops._dtypes import compute_dtype, widened
from recops._load import ops
from recops.ops._codewords import check_codewords, check_rows

__all__ = ["balance_assignment"]


def balance_assignment(
    x: Tensor, codebook: Tensor, weight: Tensor, capacity: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest codeword of every row, repaired so that no code carries more than its capacity.

    Minimises Σ_n ‖x_n − c_index[n]‖² subject to Σ_{n: index[n] = k} weight[n] ≤ capacity[k],
    greedily:

    1. every row takes its nearest codeword, the lowest index at ties;
    2. codes above capacity give rows to the others, each to the nearest that has room for it, in
       order of regret per unit of weight, (d²(new) − d²(old)) / weight, then of rows, until they
       are within capacity;
    3. where that leaves a code above capacity, though the sums would fit and no row is heavier than
       every capacity, all rows are placed anew, heaviest first, each in its nearest code with room.
       If even so a row finds none, the result of step 2 stands.

    Rows on one spot, as residuals are where a level fitted its items exactly, fill their nearest
    code, then the next. A row heavier than every capacity cannot be placed: it stays where it is,
    the rows around it make way, and ``feasible`` is false. Clip weights before if that is not
    wanted. To find the best assignment is NP-hard: with unequal weights ``feasible`` may be false
    though some assignment fits; with equal ones it is exact.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebook: ``[K, D]`` of x's dtype, or float32 beside 16-bit x. Codewords must be finite.
        weight: ``[N]`` floating point, finite and at least 0; step 2 never moves a weight of 0.
        capacity: one number, or ``[K]``; at least 0, may be infinite.

    Returns:
        ``index [N]`` int32; ``load [K]`` float32 (float64 for float64), the summed weight of each
        code, added in float64 in order of rows and, where it is within capacity, rounded to be
        within it still; ``feasible []`` bool, whether all are. A row of x that is not finite gets
        index −1 and weighs nothing. None is differentiable.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: shapes that do not fit, no codewords, a codeword that is not finite, a weight or
            a capacity out of its range.

    Time is O(N · K · D) for step 1; for the M rows of codes above capacity O(M · K · D) once, and
    again for a row whose two (then four, then eight) nearest codes with room have all become full;
    M · log M for the order, or M · K · log M where all rows lie on one spot.
    Memory is O(N + 8 M + K · D): no N × K matrix is made. The same bits at any number of threads.

    Source: capacity-constrained residual quantization of UniRec, 2026, Algorithm 1 (assign, then
    repair). The order by regret per weight, step 3 and what happens to what cannot fit are ours.

    Examples:
        >>> x, codebook = torch.tensor([[0.0], [0.1], [0.2]]), torch.tensor([[0.0], [4.0]])
        >>> index, load, feasible = recops.balance_assignment(x, codebook, torch.ones(3), 2.0)
        >>> index.tolist(), load.tolist(), feasible.item()
        ([0, 0, 1], [2.0, 1.0], True)
    """
    op = "balance_assignment"
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    check_tensor(op, "codebook", codebook, ndim=2, dtypes=FLOATS)
    check_codewords(op, "codebook", codebook, x)
    if codebook.shape[0] == 0:
        raise ValueError(f"{op}: codebook must hold at least one codeword, got none")
    check_tensor(op, "weight", weight, ndim=1, dtypes=FLOATS, device=x.device)
    check_rows(op, "weight", weight, x)
    if isinstance(capacity, Tensor):
        check_tensor(op, "capacity", capacity, ndim=(0, 1), dtypes=FLOATS, device=x.device)
        if capacity.ndim == 1 and capacity.shape[0] != codebook.shape[0]:
            raise ValueError(
                f"{op}: capacity must have {codebook.shape[0]} entries, one a codeword, "
                f"got {capacity.shape[0]}"
            )
        limits = capacity.detach().double()
    else:
        check_number(op, "capacity", capacity, least=0, most=math.inf)
        limits = x.new_full((), float(capacity), dtype=torch.float64)
    x, codebook = widened(x.detach()), codebook.detach().to(compute_dtype(x.dtype))
    nearest, _ = ops.nearest_codes(x, codebook, 1)
    return ops.repair_assignment(
        x, codebook, weight.detach().double(), limits.expand(codebook.shape[0]), nearest[:, 0]
    )


def _fake_repair(
    x: Tensor, codebook: Tensor, weight: Tensor, capacity: Tensor, nearest: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        x.new_empty(x.shape[0], dtype=torch.int32),
        x.new_empty(codebook.shape[0]),
        x.new_empty((), dtype=torch.bool),
    )


torch.library.register_fake("recops::repair_assignment", _fake_repair)
