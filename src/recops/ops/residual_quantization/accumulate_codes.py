"""Sums of vectors by code, from which codebooks are trained."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, INDICES, check_integer, check_tensor
from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._codewords import check_rows

__all__ = ["accumulate_codes"]


def accumulate_codes(
    x: Tensor, index: Tensor, num_codes: int, *, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sum rows by code: ``sums[k] = Σ_n weight[n] · x[n]`` and ``weights[k] = Σ_n weight[n]``.

    Both sums run over the rows n with ``index[n] = k``, in order, so they are bit-identical at any
    thread count. With ``index`` from :func:`nearest_codes`, ``sums / weights`` is the update step
    of Lloyd's k-means. :func:`nearest_codes` gives rows that are not finite the index −1. With any
    other index such rows are added like all others.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        index: ``[N]`` int32 or int64; rows with index −1 are skipped.
        num_codes: K, the number of codes.
        weight: ``[N]`` floating point; 1 for every row by default.

    Returns:
        ``sums [K, D]`` and ``weights [K]``, float32 (float64 for float64), zero for a code without
        rows. Weights are accumulated in float64. Neither is differentiable.

    Raises:
        IndexError: an index is neither −1 nor a code.
        TypeError, ValueError: a tensor has an unsupported dtype, or shapes do not match.

    Time is O(N · D + K · D), and on a GPU O(N · log N) to sort the rows by code. There, sums are
    added in pieces, in an order that depends only on the number of rows of a code. A wrong index
    raises an error only within :func:`recops.debug`; otherwise it counts as −1.

    Source: the last step of Algorithm 1 of UniRec, 2026, which recomputes centroids. Weights are
    an addition of this library.

    Examples:
        >>> x, index = torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([0, 0, 2])
        >>> sums, weights = recops.accumulate_codes(x, index, 3)
        >>> sums.tolist(), weights.tolist()
        ([[3.0], [0.0], [5.0]], [2.0, 0.0, 1.0])
    """
    op = "accumulate_codes"
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    check_tensor(op, "index", index, ndim=1, dtypes=INDICES, device=x.device)
    check_rows(op, "index", index, x)
    if weight is not None:
        check_tensor(op, "weight", weight, ndim=1, dtypes=FLOATS, device=x.device)
        check_rows(op, "weight", weight, x)
        weight = weight.detach()
    check_integer(op, "num_codes", num_codes)
    return ops.accumulate_codes(x.detach(), index, num_codes, weight)


def _fake(x: Tensor, index: Tensor, num_codes: int, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    dtype = compute_dtype(x.dtype)
    return x.new_empty((num_codes, x.shape[1]), dtype=dtype), x.new_empty(num_codes, dtype=dtype)


torch.library.register_fake("recops::accumulate_codes", _fake)
autocast_to_float32("accumulate_codes")
