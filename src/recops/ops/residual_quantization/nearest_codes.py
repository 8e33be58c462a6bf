"""Nearest codewords of vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, check_choice, check_integer, check_tensor
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._codewords import check_codewords
from recops.ops.residual_quantization import _cosine_codes  # noqa: F401 (registers its ops)
from recops.ops.residual_quantization._codebooks import METRICS, Metric, fake_nearest

__all__ = ["Metric", "nearest_codes"]


def nearest_codes(
    x: Tensor, codebook: Tensor, *, k: int = 1, metric: Metric = "l2"
) -> tuple[Tensor, Tensor]:
    """Find the k nearest codewords of every row, nearest first; ties go to the lower index.

    Codewords are chosen as in :func:`rq_encode`, by the score ½‖c‖² − x·c after a common shift. The
    distances of the chosen codewords and their order come from the difference x − c. For k = 1,
    integer products select candidates if that is faster, as in :func:`rq_encode`. If products x·c
    overflow, scores are infinite, and the chosen codewords need not be the nearest.

    By cosine, the codewords with the largest cos(x, c) = x·c / (‖x‖ ‖c‖) are chosen, and
    ``sq_distance`` is that of the directions, ‖x/‖x‖ − c/‖c‖‖² = 2 − 2 cos(x, c). The cosine of a
    zero vector with any vector is 0. A zero codeword is therefore at distance 2, nearer than
    codewords with a negative cosine. A zero row has the codes 0 … k − 1, all at distance 2. Rows
    and codewords whose norm overflows count as not finite.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebook: ``[K, D]`` of x's dtype, or float32 if x is 16-bit. Codewords must be finite.
        k: number of codewords per row, from 1 to K.
        metric: ``"l2"`` or ``"cosine"``.

    Returns:
        ``index [N, k]`` int32 and ``sq_distance [N, k]`` float32 (float64 for float64). A row of x
        with a NaN or an infinity has −1 and NaN. At k > 1 this also applies to a row with fewer
        than k scores below +inf. Neither is differentiable.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes do not match, k is outside 1 … K, a codeword is not finite, or the metric
            is unknown.

    Time is O(N · (K · D + k · (D + log k))); the N × K matrix is never made.

    On a CUDA GPU, the scores of blocks of rows are stored if k > 1, and k is at most 1024.

    Source: this library. At k = 1 it is one level of :func:`rq_encode`, and the first step of
    Algorithm 1 of UniRec, 2026.

    Examples:
        >>> codebook = torch.tensor([[0.0], [2.0], [5.0]])
        >>> index, sq_distance = recops.nearest_codes(torch.tensor([[3.0]]), codebook, k=2)
        >>> index.tolist(), sq_distance.tolist()
        ([[1, 2]], [[1.0, 4.0]])
    """
    op = "nearest_codes"
    check_choice(op, "metric", metric, METRICS)
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    check_tensor(op, "codebook", codebook, ndim=2, dtypes=FLOATS)
    check_codewords(op, "codebook", codebook, x)
    check_integer(op, "k", k, least=1, most=codebook.shape[0])
    find = ops.nearest_codes if metric == "l2" else ops.cosine_nearest_codes
    return find(x.detach(), codebook.detach(), k)


torch.library.register_fake("recops::nearest_codes", fake_nearest)
# Autocast computes in float32: 16 bits would change the codes.
autocast_to_float32("nearest_codes")
