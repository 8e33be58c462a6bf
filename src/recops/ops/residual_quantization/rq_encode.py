"""Residual-quantization encoding: vectors to codes, one codeword per level."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops.residual_quantization import _cosine_codes  # noqa: F401 (registers its ops)
from recops.ops.residual_quantization._codebooks import Metric, check_search
from recops.ops.residual_quantization._product_codes import Piece, check_pieces, join
from recops.state.codebooks import Codebooks

__all__ = ["rq_encode"]


def rq_encode(
    x: Tensor, codebooks: Codebooks, *, beam: int = 1, metric: Metric = "l2"
) -> tuple[Tensor, Tensor]:
    """Encode vectors by residual quantization: one codeword per level, greedily or by beam search.

    Greedy encoding (beam 1) starts from r = x. For l = 0 … L−1 it chooses ``codes[n, l] = argmin_k
    ‖r − codebooks[l][k]‖²`` and updates ``r ← r − codebooks[l][codes[n, l]]``. At the end
    ``sq_error[n] = ‖r‖²``. Ties go to the lowest code. At beam > 1 the result is the best path of
    :func:`rq_encode_beams`.

    Codewords are ordered by the score ½‖c‖² − r·c. It is accumulated in float32 (float64 for
    float64 input) over the dimensions in order, in the same way for every codeword. Equal codewords
    therefore tie exactly. Codes are bit-identical at any thread count and, at beam 1, in any batch.
    ``sq_error`` is computed from the residual, so a perfect fit gives exactly 0.

    Precision. If the codewords of level 0 are far from the origin, they and x are first moved
    towards it by a common shift with few significant digits. A common offset therefore costs no
    precision. The shift does not help if the codewords form groups whose distance is hundreds of
    times their spread. Within such a group the chosen codeword may be farther than the nearest by a
    few times 2⁻²³ · ‖c‖². The choice can then differ between instruction sets. Later levels are not
    shifted, because their residuals are usually near the origin. Codewords of a later level that
    share an offset of a hundred times their spread lose the digits in which they differ. If
    products r·c overflow, scores are infinite, and the code at beam 1 need not be that of the
    nearest codeword; for beam > 1 see :func:`rq_encode_beams`.

    At beam 1 and about a thousand rows or more, products of 8- or 16-bit integers and a bound on
    their rounding error exclude most codewords. This needs AVX-512 with VNNI, or AVX2 and at least
    128 dimensions. It changes no bit of any result.

    On a CUDA GPU of compute capability 8.0 or newer, at beam 1 and except for float64, products of
    16-bit floats and a bound on their measured rounding exclude most codewords. Float32 scores
    decide between the others. Codes can differ from the CPU's only where the least two scores
    differ by their rounding. A codeword that is not finite raises an error only within
    :func:`recops.debug`; otherwise all codes are −1 and all errors NaN.

    By cosine, ``codes[n, l] = argmax_k cos(r, codebooks[l][k])``. The codeword itself, not its
    direction, is subtracted, and ``sq_error[n] = ‖x − Σ_l c_l‖²`` is the error of
    :func:`rq_decode`. For zero rows and zero codewords see :func:`nearest_codes`.

    A product of groups cuts x into G pieces and encodes each with its own codebooks. The codes are
    concatenated group by group, and the errors are added.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebooks: ``[L, K, D]``, or L tensors ``[K_l, D]`` where levels differ in size; of x's
            dtype, or float32 if x is 16-bit. Codewords must be finite. For a product
            ``[G, L, K, D/G]``, or G of the former, whose widths add up to D.
        beam: width of the search, from 1 to 2^20; in a product, of each group's search.
        metric: ``"l2"`` or ``"cosine"``.

    Returns:
        ``codes [N, L]`` (``[N, Σ L_g]`` of a product) int32 and ``sq_error [N]`` float32 (float64
        for float64). A row of x with a NaN or an infinity has codes −1 and error NaN. Neither is
        differentiable.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes do not match, a codebook is empty, a codeword is not finite, beam is out
            of range, or the metric is unknown.

    At beam 1 time is O(N · D · Σ K_l) and extra memory O(D · Σ K_l): no N × K matrix is made. For
    beam > 1 see :func:`rq_encode_beams`.

    Source: Chen, Guan, Wang, "Approximate nearest neighbor search by residual vector quantization",
    Sensors 2010; as semantic IDs: Rajput et al., "Recommender systems with generative retrieval"
    (TIGER), 2023, section 3.1; products of groups: Yang et al., "HiFi-Codec: group-residual vector
    quantization for high fidelity audio codec", 2023.

    Examples:
        >>> codebooks = torch.tensor([[[0.0, 0.0], [4.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]])
        >>> x = torch.tensor([[4.0, 1.0], [0.5, -1.0]])
        >>> codes, sq_error = recops.rq_encode(x, codebooks)
        >>> codes.tolist(), sq_error.tolist()
        ([[1, 0], [0, 1]], [0.0, 0.25])
    """
    op = "rq_encode"
    check_search(op, beam, metric)
    return join([_encode(piece, beam, metric) for piece in check_pieces(op, x, codebooks)])


def _encode(piece: Piece, beam: int, metric: Metric) -> tuple[Tensor, Tensor]:
    x, codewords = piece.x.detach(), piece.codewords.detach()
    if beam == 1 and metric == "l2":
        return ops.rq_encode(x, codewords, piece.sizes)
    search = ops.cosine_rq_encode if metric == "cosine" else ops.rq_encode_beams
    codes, sq_error = search(x, codewords, piece.sizes, beam, 1)
    return codes[:, 0], sq_error[:, 0]


def _fake(x: Tensor, codewords: Tensor, sizes: list[int], bits: int = 0) -> tuple[Tensor, Tensor]:
    rows = x.shape[0]
    return x.new_empty((rows, len(sizes)), dtype=torch.int32), x.new_empty(
        rows, dtype=compute_dtype(x.dtype)
    )


torch.library.register_fake("recops::rq_encode", _fake)
# Autocast computes in float32: 16 bits would change the codes.
autocast_to_float32("rq_encode")
