"""Vectors to codes: a codeword a level."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops.residual_quantization import _cosine_codes  # noqa: F401 (registers its ops)
from recops.ops.residual_quantization._codebooks import Metric, check_encode, check_search
from recops.ops.residual_quantization._product_codes import join, pieces_of, stacks_of
from recops.state.codebooks import Codebooks

__all__ = ["rq_encode"]


def rq_encode(
    x: Tensor, codebooks: Codebooks, *, beam: int = 1, metric: Metric = "l2"
) -> tuple[Tensor, Tensor]:
    """Residual quantization: a codeword a level, chosen greedily or by beam search.

    Greedy, at beam 1: for l = 0 … L−1, starting from r = x, ``codes[n, l] = argmin_k
    ‖r − codebooks[l][k]‖²``, then ``r ← r − codebooks[l][codes[n, l]]``; at the end ``sq_error[n] =
    ‖r‖²``. Ties go to the lowest code. At beam > 1: the first of :func:`rq_encode_beams`.

    Codewords are ordered by ½‖c‖² − r·c, accumulated in float32 (float64 for float64 input) over
    the dimensions in order, the same for every codeword: equal codewords tie exactly, and the codes
    are the same bits at any number of threads and, at beam 1, in any batch. Where level 0's
    codewords lie far from the origin, they and x are first moved towards it by a common shift of
    few digits, so that an offset costs no precision. Groups of codewords that lie hundreds of
    their spread apart have no common shift that helps: in a group one may be taken that is farther
    than the nearest by a few times 2⁻²³ · ‖c‖², and another one at another instruction set. Later
    levels, whose residuals lie near the origin where the first level did its work, are not moved:
    codewords there that share an offset of a hundred times their spread lose the digits that tell
    them apart. Where products r·c overflow, so that scores are infinite, the code at beam 1 need
    not be the nearest codeword's; at beam > 1 see :func:`rq_encode_beams`. ``sq_error`` is taken
    from the residual itself, so a perfect fit gives exactly 0.

    At beam 1 and from about a thousand rows on, most codewords are ruled out by products of 8- or
    16-bit integers and a bound on what their rounding left, where the machine is quick at those
    (AVX-512 with VNNI; AVX2 from 128 dimensions on). That changes no bit of any result.

    By cosine: ``codes[n, l] = argmax_k cos(r, codebooks[l][k])``, the rest as it was: the codeword
    itself is subtracted, with its length, and ``sq_error[n] = ‖x − Σ_l c_l‖²``, what
    :func:`rq_decode` leaves over. Zero rows and codewords: see :func:`nearest_codes`.

    A product of groups cuts x into G pieces, and encodes each with its own codebooks; their codes
    stand side by side, group by group, and their errors add up.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebooks: ``[L, K, D]``, or L tensors ``[K_l, D]`` where levels differ in size; of x's
            dtype, or float32 beside 16-bit x. Codewords must be finite. For a product
            ``[G, L, K, D/G]``, or G of what one group may be, whose widths add up to D.
        beam: width of the search, from 1 to 2^20; in a product, of each group's.
        metric: what is nearest: ``"l2"`` or ``"cosine"``.

    Returns:
        ``codes [N, L]`` (``[N, Σ L_g]`` of a product) int32 and ``sq_error [N]`` float32 (float64
        for float64). A row of x that holds a NaN or an infinity gets codes −1 and error NaN.
        Neither is differentiable.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: shapes that do not fit, an empty codebook, a codeword that is not finite,
            beam out of range, another metric.

    At beam 1 time is O(N · D · Σ K_l), memory O(D · Σ K_l) beside the results: no N × K matrix is
    ever made. :func:`rq_encode_beams` tells of beam > 1.

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
    check_search(op, x, beam, metric)
    stacks = stacks_of(op, codebooks)
    pieces = pieces_of(op, x, stacks)
    if len(pieces) > 1:
        return join(
            [
                rq_encode(piece, stack, beam=beam, metric=metric)
                for piece, stack in zip(pieces, stacks, strict=True)
            ]
        )
    codewords, sizes = check_encode(op, x, stacks[0])
    if metric == "cosine":
        codes, sq_error = ops.cosine_rq_encode(x.detach(), codewords, sizes, beam, 1)
        return codes[:, 0], sq_error[:, 0]
    if beam == 1:
        return ops.rq_encode(x.detach(), codewords, sizes)
    codes, sq_error = ops.rq_encode_beams(x.detach(), codewords, sizes, beam, 1)
    return codes[:, 0], sq_error[:, 0]


def _fake(x: Tensor, codewords: Tensor, sizes: list[int], bits: int = 0) -> tuple[Tensor, Tensor]:
    rows = x.shape[0]
    return x.new_empty((rows, len(sizes)), dtype=torch.int32), x.new_empty(
        rows, dtype=compute_dtype(x.dtype)
    )


torch.library.register_fake("recops::rq_encode", _fake)
# Under autocast in float32: codes chosen in 16 bits would not be those chosen outside.
torch.library.register_autocast("recops::rq_encode", "cpu", torch.float32)
