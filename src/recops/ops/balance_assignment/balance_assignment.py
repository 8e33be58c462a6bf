"""Assignment of rows to their nearest codewords under capacities."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recops._checks import FLOATS, check_number, check_tensor
from recops._dtypes import compute_dtype, widened, widest_dtype
from recops._load import ops
from recops.ops._codewords import check_codewords, check_rows

__all__ = ["balance_assignment"]


def balance_assignment(
    x: Tensor, codebook: Tensor, weight: Tensor, capacity: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign each row to its nearest codeword, then move rows so that no code exceeds its capacity.

    Minimises Σ_n ‖x_n − c_index[n]‖² subject to Σ_{n: index[n] = k} weight[n] ≤ capacity[k],
    greedily:

    1. Every row takes its nearest codeword, and the lowest index at ties.
    2. Codes above capacity give up rows until they are within capacity. Each row moves to the
       nearest code with room for it. Rows move in order of regret per unit of weight,
       (d²(new) − d²(old)) / weight, then in order of rows.
    3. Step 2 may leave a code above capacity even though the total weight fits and no row is
       heavier than every capacity. Then all rows are assigned again, heaviest first, each to its
       nearest code with room. If a row finds no room, the result of step 2 is returned.

    Identical rows fill their nearest code, then the next nearest. A row that is heavier than every
    capacity stays in its nearest code, other rows leave that code, and ``feasible`` is false; clip
    weights beforehand to avoid this. Finding the best assignment is NP-hard. With equal weights
    ``feasible`` is exact. With unequal weights it may be false even though some assignment fits.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebook: ``[K, D]`` of x's dtype, or float32 if x is 16-bit. Codewords must be finite.
        weight: ``[N]`` floating point, finite and at least 0; step 2 never moves a weight of 0.
        capacity: one number, or ``[K]``; at least 0, may be infinite.

    Returns:
        ``index [N]`` int32, ``load [K]`` float32 (float64 for float64) and ``feasible []`` bool.
        ``load`` is the summed weight of each code, added in float64 in order of rows; rounding
        never lifts a load above its capacity. ``feasible`` is true if all loads are within
        capacity. A row of x that is not finite has index −1 and adds no weight. No result is
        differentiable.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes do not match, there are no codewords, a codeword is not finite, or a
            weight or a capacity is out of range.

    Time is O(N · K · D) for step 1. Step 2 takes O(M · K · D) for the M rows of codes above
    capacity. It searches again for a row when its 2 (then 4, then 8) nearest codes with room are
    full. Sorting takes O(M · log M), or O(M · K · log M) if all rows are identical. Memory is
    O(N + 8 M + K · D): no N × K matrix is made. Results are bit-identical at any thread count.

    Source: capacity-constrained residual quantization of UniRec, 2026, Algorithm 1 (assign, then
    repair). The paper does not define the order by regret per weight, step 3 and the treatment of
    rows that cannot fit; these are choices of this library.

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
    amounts = widest_dtype(x.device)
    if isinstance(capacity, Tensor):
        check_tensor(op, "capacity", capacity, ndim=(0, 1), dtypes=FLOATS, device=x.device)
        if capacity.ndim == 1 and capacity.shape[0] != codebook.shape[0]:
            raise ValueError(
                f"{op}: capacity must have {codebook.shape[0]} entries, one per codeword, "
                f"got {capacity.shape[0]}"
            )
        limits = capacity.detach().to(amounts)
    else:
        check_number(op, "capacity", capacity, least=0, most=math.inf)
        limits = x.new_full((), float(capacity), dtype=amounts)
    x, codebook = widened(x.detach()), codebook.detach().to(compute_dtype(x.dtype))
    nearest, _ = ops.nearest_codes(x, codebook, 1)
    return ops.repair_assignment(
        x, codebook, weight.detach().to(amounts), limits.expand(codebook.shape[0]), nearest[:, 0]
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
