"""The nearest codewords of vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, check_choice, check_integer, check_tensor
from recops._load import ops
from recops.ops._codewords import check_codewords
from recops.ops.residual_quantization import _cosine_codes  # noqa: F401 (registers its ops)
from recops.ops.residual_quantization._codebooks import METRICS, Metric, fake_nearest

__all__ = ["Metric", "nearest_codes"]


def nearest_codes(
    x: Tensor, codebook: Tensor, *, k: int = 1, metric: Metric = "l2"
) -> tuple[Tensor, Tensor]:
    """The k nearest codewords of every row, nearest first; the lower index first at equal distance.

    Codewords are chosen as :func:`rq_encode` chooses them, by ½‖c‖² − x·c about a common shift; the
    distances of those chosen, and the order in which they are returned, come from the difference
    x − c itself. One nearest codeword is found by products of small integers where that pays, as
    there. Where products x·c overflow, so that scores are infinite, codewords chosen need not be
    the nearest.

    By cosine, those of largest cos(x, c) = x·c / (‖x‖ ‖c‖), and ``sq_distance`` is that of their
    directions, ‖x/‖x‖ − c/‖c‖‖² = 2 − 2 cos(x, c). A zero vector's cosine with anything is 0: a
    zero codeword is at distance 2, nearer than what points away from x; a zero row takes the codes
    0 … k − 1, at distance 2. Rows and codewords whose length overflows count as not finite.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebook: ``[K, D]`` of x's dtype, or float32 beside 16-bit x. Codewords must be finite.
        k: how many, from 1 to K.
        metric: what is nearest: ``"l2"`` or ``"cosine"``.

    Returns:
        ``index [N, k]`` int32 and ``sq_distance [N, k]`` float32 (float64 for float64). A row of x
        that holds a NaN or an infinity gets −1 and NaN, and at k > 1 so does one that has fewer
        than k scores below +inf. Neither is differentiable.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: shapes that do not fit, k outside 1 … K, a codeword that is not finite, another
            metric.

    Time is O(N · (K · D + k · (D + log k))); the N × K matrix is never made.

    Source: ours. At k = 1 it is a level of :func:`rq_encode`, and the first step of Algorithm 1 of
    UniRec, 2026.

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
# Under autocast in float32: codes chosen in 16 bits would not be those chosen outside.
torch.library.register_autocast("recops::nearest_codes", "cpu", torch.float32)
