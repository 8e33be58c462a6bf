"""Residual quantization: vectors to codes, codes to vectors, and the sums codebooks are made of.

A vector x is written as a sum of codewords, one a level: r₀ = x; level l takes the codeword nearest
to r_l and leaves r_{l+1} = r_l − c. The codes of all levels together are the vector's semantic ID.
Nearest is by squared distance or by cosine; in a product of G groups, each piece of x has levels
of its own (:mod:`recops.ops.product_codes`).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from recops._load import ops
from recops.ops import cosine_codes, residual_quantization_graph  # noqa: F401 (register)
from recops.ops._checks import FLOATS, INDICES, check_tensor
from recops.ops._codebooks import (
    check_codewords,
    check_columns,
    check_encode,
    check_metric,
    check_rows,
    check_search,
    flatten,
)
from recops.ops.product_codes import (
    Codebooks,
    join,
    join_beams,
    levels_of,
    pieces_of,
    stacks_of,
)

__all__ = ["accumulate_codes", "nearest_codes", "rq_decode", "rq_encode", "rq_encode_beams"]

Metric: TypeAlias = Literal["l2", "cosine"]


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
    few digits, so that an offset costs no precision. ``sq_error`` is taken from the residual
    itself, so a perfect fit gives exactly 0.

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
        beam: width of the search, at least 1; in a product, of each group's.
        metric: what is nearest: ``"l2"`` or ``"cosine"``.

    Returns:
        ``codes [N, L]`` (``[N, Σ L_g]`` of a product) int32 and ``sq_error [N]`` float32 (float64
        for float64). A row of x that holds a NaN or an infinity gets codes −1 and error NaN.
        Neither is differentiable.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: shapes that do not fit, an empty codebook, a codeword that is not finite,
            beam < 1, another metric.

    At beam 1 time is O(N · D · Σ K_l), memory O(D · Σ K_l) beside the results: no N × K matrix is
    ever made. :func:`rq_encode_beams` tells of beam > 1.

    Source: Chen, Guan, Wang, "Approximate nearest neighbor search by residual vector quantization",
    Sensors 2010; as semantic IDs: Rajput et al., "Recommender systems with generative retrieval"
    (TIGER), 2023, section 3.1; products of groups: Yang et al., "HiFi-Codec: group-residual vector
    quantization for high fidelity audio codec", 2023.
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
        beam: how many paths are kept at each level, at least 1.
        metric: what is nearest: ``"l2"`` or ``"cosine"``.

    Returns:
        ``codes [N, beam, L]`` (``[N, beam, Σ L_g]`` of a product) int32 and ``sq_error [N, beam]``
        float32 (float64 for float64). Paths that do not exist (beam > K₀ · … · K_{L−1}) have codes
        −1 and error +inf. A row of x that holds a NaN or an infinity, or whose products with
        codewords overflow, gets codes −1 and error NaN. Neither is differentiable.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: shapes that do not fit, an empty codebook, a codeword that is not finite, beam
            < 1, beam · K_l ≥ 2³¹, another metric.

    With a table, time is O(N · Σ K_l · (D + beam · L)) and O(D · Σ_{m<l} K_m · K_l) for the table;
    without, and by cosine, O(N · beam · D · Σ K_l). No N × K matrix is ever made. A product adds
    O(N · G · beam² · log beam).

    Source: beam search over residual codebooks, as in Babenko, Lempitsky, "Additive quantization
    for extreme vector compression", CVPR 2014; the order of ties is ours.
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


def rq_decode(codes: Tensor, codebooks: Codebooks) -> Tensor:
    """The vectors that codes stand for: ``out[n] = Σ_l codebooks[l][codes[n, l]]``.

    Of a product of groups, the pieces that its groups' codes stand for, side by side.

    Differentiable in ``codebooks``, any number of times; the gradient of a codeword is the sum of
    the gradients of the rows that use it, added in the order of rows, so it is the same bits at any
    number of threads.

    Args:
        codes: ``[N, L]`` int32 or int64. Code −1 (a row that could not be encoded) adds zero.
        codebooks: as :func:`rq_encode` takes them; float32, bfloat16, float16 or float64.

    Returns:
        ``[N, D]`` of the codebooks' dtype; sums and gradients are accumulated in float32 (float64
        for float64), then rounded once.

    Raises:
        IndexError: a code that is neither −1 nor in its codebook.
        TypeError, ValueError: a tensor of another dtype; shapes that do not fit.

    Time is O(N · L · D).
    """
    op = "rq_decode"
    check_tensor(op, "codes", codes, ndim=2, dtypes=INDICES)
    stacks = stacks_of(op, codebooks)
    if len(stacks) > 1:
        levels = [levels_of(stack) for stack in stacks]
        check_columns(op, codes, sum(levels))
        parts = zip(codes.split(levels, 1), stacks, strict=True)
        return torch.cat([rq_decode(part, stack) for part, stack in parts], 1)
    codewords, sizes = flatten(op, stacks[0])
    check_tensor(op, "codebooks", codewords, ndim=2, dtypes=FLOATS, device=codes.device)
    check_columns(op, codes, len(sizes))
    return ops.rq_decode(codes, codewords, sizes)


def nearest_codes(
    x: Tensor, codebook: Tensor, *, k: int = 1, metric: Metric = "l2"
) -> tuple[Tensor, Tensor]:
    """The k nearest codewords of every row, nearest first; the lower index first at equal distance.

    Codewords are chosen as :func:`rq_encode` chooses them, by ½‖c‖² − x·c about a common shift; the
    distances of those chosen, and the order in which they are returned, come from the difference
    x − c itself. One nearest codeword is found by products of small integers where that pays, as
    there.

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
        that holds a NaN or an infinity gets −1 and NaN. Neither is differentiable.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: shapes that do not fit, k outside 1 … K, a codeword that is not finite, another
            metric.

    Time is O(N · (K · D + k · (D + log k))); the N × K matrix is never made.
    """
    op = "nearest_codes"
    check_metric(op, metric)
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    check_tensor(op, "codebook", codebook, ndim=2, dtypes=FLOATS)
    check_codewords(op, "codebook", codebook, x)
    if not 1 <= k <= codebook.shape[0]:
        raise ValueError(f"{op}: k must be from 1 to the {codebook.shape[0]} codewords, got {k}")
    find = ops.nearest_codes if metric == "l2" else ops.cosine_nearest_codes
    return find(x.detach(), codebook.detach(), k)


def accumulate_codes(
    x: Tensor, index: Tensor, num_codes: int, *, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sum rows by code: ``sums[k] = Σ_n weight[n] · x[n]`` and ``weights[k] = Σ_n weight[n]``.

    Both sums run over the rows n with ``index[n] = k``, in order, so they are the same bits at any
    number of threads. With ``index`` from :func:`nearest_codes`, ``sums / weights`` is the update
    of Lloyd's k-means; rows that are not finite have index −1 there, any other index adds them as
    they are.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        index: ``[N]`` int32 or int64; −1 leaves a row out.
        num_codes: K, the number of codes.
        weight: ``[N]`` floating point; 1 for every row by default.

    Returns:
        ``sums [K, D]`` and ``weights [K]``, float32 (float64 for float64); a code without rows has
        zeros. Weights are accumulated in float64. Neither is differentiable.

    Raises:
        IndexError: an index that is neither −1 nor a code.
        TypeError, ValueError: a tensor of another dtype; shapes that do not fit.

    Time is O(N · D + K · D).
    """
    op = "accumulate_codes"
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    check_tensor(op, "index", index, ndim=1, dtypes=INDICES, device=x.device)
    check_rows(op, "index", index, x)
    if weight is not None:
        check_tensor(op, "weight", weight, ndim=1, dtypes=FLOATS, device=x.device)
        check_rows(op, "weight", weight, x)
        weight = weight.detach()
    if num_codes < 0:
        raise ValueError(f"{op}: num_codes must be at least 0, got {num_codes}")
    return ops.accumulate_codes(x.detach(), index, num_codes, weight)
