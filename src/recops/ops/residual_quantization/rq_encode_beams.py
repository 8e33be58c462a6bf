"""Residual-quantization encoding by beam search: vectors to candidate codes."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops.residual_quantization import _cosine_codes  # noqa: F401 (registers its ops)
from recops.ops.residual_quantization._codebooks import Metric, check_search
from recops.ops.residual_quantization._product_codes import Piece, check_pieces, join_beams
from recops.state.codebooks import Codebooks

__all__ = ["rq_encode_beams"]


def rq_encode_beams(
    x: Tensor, codebooks: Codebooks, *, beam: int, metric: Metric = "l2"
) -> tuple[Tensor, Tensor]:
    """Encode every row by beam search and return its best paths, the candidate semantic IDs.

    The search starts with the empty path. At each level, every path is continued by every code,
    and the ``beam`` continuations with the smallest ‖x − Σ_l c_l‖² are kept. Ties go to the
    lexicographically lowest path. At the end paths are sorted by ``sq_error``, then by path. With
    beam ≥ K₀ · … · K_{L−1} all paths are returned.

    Continuing a path with residual r by c adds ½‖c‖² − r·c = (½‖c‖² − x·c) + Σ_m c_m·c to ½‖r‖².
    Three methods compute this sum:

    - a table of all c_m·c, at most 64 MB, so that x·c is computed only once for all paths;
    - the residuals of all paths, if the table does not pay off;
    - sums of 16-bit integers and a bound on their rounding error, which leave only a few
      continuations for float arithmetic (from a few hundred rows on, on AVX-512 with VNNI).

    The methods round differently, and the choice of the method depends on N. Candidates whose
    errors differ only by rounding may therefore be ordered differently in another batch. Results
    are bit-identical at any thread count. ``sq_error`` is computed from the residual, level by
    level, so a perfect fit gives exactly 0.

    On a CUDA GPU of compute capability 8.0 or newer, for beams up to 1024, tables up to 1 GB and
    except for float64, the table is used. Paths can differ from the CPU's only where their errors
    differ by their rounding. A codeword that is not finite raises an error only within
    :func:`recops.debug`; otherwise codes are −1 and errors NaN.

    By cosine, the continuations with the smallest Σ_l (1 − cos(r_l, c_l)) are kept; at beam 1 this
    is greedy encoding by cosine. At the end paths are still sorted by ``sq_error``.

    In a product of groups each piece of x is searched separately. Of all combinations of their
    paths, the ``beam`` with the smallest sum of errors are returned. Ties go to the combination
    whose path in the first group comes first.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebooks: as in :func:`rq_encode`.
        beam: number of paths per level, from 1 to 2^20.
        metric: ``"l2"`` or ``"cosine"``.

    Returns:
        ``codes [N, beam, L]`` (``[N, beam, Σ L_g]`` of a product) int32 and ``sq_error [N, beam]``
        float32 (float64 for float64), best first. Paths that do not exist (beam > K₀ · … · K_{L−1})
        have codes −1 and error +inf. A row of x with a NaN or an infinity has codes −1 and error
        NaN. At beam > 1 this also applies to a row for which products with codewords overflow and
        leave the best paths unknown. At beam 1 the codes are those of :func:`rq_encode`. Neither is
        differentiable.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes do not match, a codebook is empty, a codeword is not finite, beam is out
            of range, beam · K_l ≥ 2³¹, or the metric is unknown.

    With a table, time is O(N · Σ K_l · (D + beam · L)) and O(D · Σ_{m<l} K_m · K_l) for the table.
    Without a table, and by cosine, time is O(N · beam · D · Σ K_l). No N × K matrix is made. A
    product adds O(N · G · beam² · log beam).

    Source: beam search over residual codebooks, as in Babenko, Lempitsky, "Additive quantization
    for extreme vector compression", CVPR 2014. The order of ties is a choice of this library.

    Examples:
        >>> codebooks = torch.tensor([[[0.0, 0.0], [4.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]])
        >>> codes, sq_error = recops.rq_encode_beams(torch.tensor([[3.0, 0.5]]), codebooks, beam=2)
        >>> codes.tolist(), sq_error.tolist()
        ([[[1, 0], [1, 1]]], [[1.25, 3.25]])
    """
    op = "rq_encode_beams"
    check_search(op, beam, metric)
    pieces = check_pieces(op, x, codebooks)
    return join_beams([_encode(piece, beam, metric) for piece in pieces], beam)


def _encode(piece: Piece, beam: int, metric: Metric) -> tuple[Tensor, Tensor]:
    x, codewords = piece.x.detach(), piece.codewords.detach()
    if beam == 1 and metric == "l2":
        codes, sq_error = ops.rq_encode(x, codewords, piece.sizes)
        return codes[:, None], sq_error[:, None]
    search = ops.cosine_rq_encode if metric == "cosine" else ops.rq_encode_beams
    return search(x, codewords, piece.sizes, beam, beam)


def _fake(
    x: Tensor, codewords: Tensor, sizes: list[int], beam: int, num_paths: int, bits: int = 0
) -> tuple[Tensor, Tensor]:
    shape = (x.shape[0], num_paths)
    return (
        x.new_empty((*shape, len(sizes)), dtype=torch.int32),
        x.new_empty(shape, dtype=compute_dtype(x.dtype)),
    )


torch.library.register_fake("recops::rq_encode_beams", _fake)
# Autocast computes in float32: 16 bits would change the codes.
autocast_to_float32("rq_encode_beams")
