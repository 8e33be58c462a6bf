"""Vectors to their candidate codes, by beam search over the levels."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops.residual_quantization import _cosine_codes  # noqa: F401 (registers its ops)
from recops.ops.residual_quantization._codebooks import Metric, check_encode, check_search
from recops.ops.residual_quantization._product_codes import (
    join_beams,
    pieces_of,
    stacks_of,
)
from recops.state.codebooks import Codebooks

__all__ = ["rq_encode_beams"]


def rq_encode_beams(
    x: Tensor, codebooks: Codebooks, *, beam: int, metric: Metric = "l2"
) -> tuple[Tensor, Tensor]:
    """The best paths that beam search finds for every row: its candidate semantic IDs, best first.

    From the empty path on, level by level, every path kept is continued by every code, and the
    ``beam`` continuations of least ‖x − Σ_l c_l‖² are kept; of equal ones those with the lowest
    path, codes compared from the first on. At the end paths are ordered by their ``sq_error``, then
    by path. With beam ≥ K₀ · … · K_{L−1} that is every path there is.

    Continuing a path with residual r by c adds ½‖c‖² − r·c = (½‖c‖² − x·c) + Σ_m c_m·c to ½‖r‖².
    Where it pays, all c_m·c are put into a table first, up to 64 MB of it, so that the dimensions
    enter once for all paths; else the residuals of all paths are made. From a few hundred rows on,
    on AVX-512 with VNNI, sums of 16-bit integers, with a bound on what their rounding left, rule
    out all but the few continuations that floats then weigh. The three round differently, and which
    one runs depends on N: candidates whose errors differ by rounding alone may come out otherwise
    in another batch. At any number of threads the result is the same bits. ``sq_error`` is taken
    from the residual itself, level by level, so a perfect fit gives exactly 0.

    By cosine, the continuations kept are those of least Σ_l (1 − cos(r_l, c_l)), which at beam 1 is
    greedy encoding by cosine; at the end paths are ordered by ``sq_error`` all the same.

    In a product of groups each piece of x is searched by itself; of all combinations of the paths
    found the ``beam`` with the least sum of errors are returned, of equal ones that whose first
    group's path comes first.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebooks: as :func:`rq_encode` takes them.
        beam: how many paths are kept at each level, from 1 to 2^20.
        metric: what is nearest: ``"l2"`` or ``"cosine"``.

    Returns:
        ``codes [N, beam, L]`` (``[N, beam, Σ L_g]`` of a product) int32 and ``sq_error [N, beam]``
        float32 (float64 for float64). Paths that do not exist (beam > K₀ · … · K_{L−1}) have codes
        −1 and error +inf. A row of x that holds a NaN or an infinity gets codes −1 and error NaN,
        and at beam > 1 so does one whose products with codewords overflow so that the best are not
        known. At beam 1 the codes are those of :func:`rq_encode`. Neither is differentiable.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: shapes that do not fit, an empty codebook, a codeword that is not finite, beam
            out of range, beam · K_l ≥ 2³¹, another metric.

    With a table, time is O(N · Σ K_l · (D + beam · L)) and O(D · Σ_{m<l} K_m · K_l) for the table;
    without, and by cosine, O(N · beam · D · Σ K_l). No N × K matrix is ever made. A product adds
    O(N · G · beam² · log beam).

    Source: beam search over residual codebooks, as in Babenko, Lempitsky, "Additive quantization
    for extreme vector compression", CVPR 2014; the order of ties is ours.

    Examples:
        >>> codebooks = torch.tensor([[[0.0, 0.0], [4.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]])
        >>> codes, sq_error = recops.rq_encode_beams(torch.tensor([[3.0, 0.5]]), codebooks, beam=2)
        >>> codes.tolist(), sq_error.tolist()
        ([[[1, 0], [1, 1]]], [[1.25, 3.25]])
    """
    op = "rq_encode_beams"
    check_search(op, x, beam, metric)
    stacks = stacks_of(op, codebooks)
    pieces = pieces_of(op, x, stacks)
    if len(pieces) > 1:
        found = [
            rq_encode_beams(piece, stack, beam=beam, metric=metric)
            for piece, stack in zip(pieces, stacks, strict=True)
        ]
        return join_beams(found, beam)
    codewords, sizes = check_encode(op, x, stacks[0])
    if metric == "cosine":
        return ops.cosine_rq_encode(x.detach(), codewords, sizes, beam, beam)
    if beam > 1:
        return ops.rq_encode_beams(x.detach(), codewords, sizes, beam, beam)
    codes, sq_error = ops.rq_encode(x.detach(), codewords, sizes)
    return codes[:, None], sq_error[:, None]


def _fake(
    x: Tensor, codewords: Tensor, sizes: list[int], beam: int, kept: int, bits: int = 0
) -> tuple[Tensor, Tensor]:
    shape = (x.shape[0], kept)
    return (
        x.new_empty((*shape, len(sizes)), dtype=torch.int32),
        x.new_empty(shape, dtype=compute_dtype(x.dtype)),
    )


torch.library.register_fake("recops::rq_encode_beams", _fake)
# Under autocast in float32: codes chosen in 16 bits would not be those chosen outside.
torch.library.register_autocast("recops::rq_encode_beams", "cpu", torch.float32)
