"""Residual quantization: vectors to codes, codes to vectors, and the sums codebooks are made of.

A vector x is written as a sum of codewords, one a level: r₀ = x; level l takes the codeword nearest
to r_l and leaves r_{l+1} = r_l − c. The codes of all levels together are the vector's semantic ID.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from recops._load import ops
from recops.ops._checks import FLOATS, INDICES, check_tensor

__all__ = ["accumulate_codes", "nearest_codes", "rq_decode", "rq_encode", "rq_encode_beams"]


def rq_encode(
    x: Tensor, codebooks: Tensor | Iterable[Tensor], *, beam: int = 1
) -> tuple[Tensor, Tensor]:
    """Residual quantization: a codeword a level, chosen greedily or by beam search.

    Greedy, at beam 1: for l = 0 … L−1, starting from r = x, ``codes[n, l] = argmin_k
    ‖r − codebooks[l][k]‖²``, then ``r ← r − codebooks[l][codes[n, l]]``; at the end ``sq_error[n] =
    ‖r‖²``. Ties go to the lowest code. At beam > 1: the first of :func:`rq_encode_beams`.

    Codewords are ordered by ½‖c‖² − r·c, accumulated in float32 (float64 for float64 input) over
    the dimensions in order, the same for every codeword: equal codewords tie exactly, and the codes
    are the same bits at any number of threads and, at beam 1, in any batch. ``sq_error`` is taken
    from the residual itself, so a perfect fit gives exactly 0.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebooks: ``[L, K, D]``, or L tensors ``[K_l, D]`` where levels differ in size; of x's
            dtype, or float32 beside 16-bit x. Codewords must be finite.
        beam: width of the search, at least 1.

    Returns:
        ``codes [N, L]`` int32 and ``sq_error [N]`` float32 (float64 for float64). A row of x that
        holds a NaN or an infinity gets codes −1 and error NaN. Neither is differentiable.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: shapes that do not fit, an empty codebook, a codeword that is not finite,
            beam < 1.

    At beam 1 time is O(N · D · Σ K_l), memory O(D · Σ K_l) beside the results: no N × K matrix is
    ever made. :func:`rq_encode_beams` tells of beam > 1.

    Source: Chen, Guan, Wang, "Approximate nearest neighbor search by residual vector quantization",
    Sensors 2010; as semantic IDs: Rajput et al., "Recommender systems with generative retrieval"
    (TIGER), 2023, section 3.1.
    """
    op = "rq_encode"
    codewords, sizes = _check_encode(op, x, codebooks, beam)
    if beam == 1:
        return ops.rq_encode(x.detach(), codewords, sizes)
    codes, sq_error = ops.rq_encode_beams(x.detach(), codewords, sizes, beam, 1)
    return codes[:, 0], sq_error[:, 0]


def rq_encode_beams(
    x: Tensor, codebooks: Tensor | Iterable[Tensor], *, beam: int
) -> tuple[Tensor, Tensor]:
    """The best paths that beam search finds for every row: its candidate semantic IDs, best first.

    From the empty path on, level by level, every path kept is continued by every code, and the
    ``beam`` continuations of least ‖x − Σ_l c_l‖² are kept; of equal ones those with the lowest
    path, codes compared from the first on. At the end paths are ordered by their ``sq_error``, then
    by path. With beam ≥ K₀ · … · K_{L−1} that is every path there is.

    Continuing a path with residual r by c adds ½‖c‖² − r·c = (½‖c‖² − x·c) + Σ_m c_m·c to ½‖r‖².
    Where it pays, all c_m·c are put into a table first, up to 64 MB of it, so that the dimensions
    enter once for all paths; else the residuals of all paths are made. The two round differently,
    and which one runs depends on N: candidates whose errors differ by rounding alone may come out
    otherwise in another batch. At any number of threads the result is the same bits. ``sq_error``
    is taken from the residual itself, level by level, so a perfect fit gives exactly 0.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebooks: ``[L, K, D]``, or L tensors ``[K_l, D]`` where levels differ in size; of x's
            dtype, or float32 beside 16-bit x. Codewords must be finite.
        beam: how many paths are kept at each level, at least 1.

    Returns:
        ``codes [N, beam, L]`` int32 and ``sq_error [N, beam]`` float32 (float64 for float64). Paths
        that do not exist (beam > K₀ · … · K_{L−1}) have codes −1 and error +inf. A row of x that
        holds a NaN or an infinity, or whose products with codewords overflow, gets codes −1 and
        error NaN. Neither is differentiable.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: shapes that do not fit, an empty codebook, a codeword that is not finite, beam
            < 1, or beam · K_l ≥ 2³¹.

    With a table, time is O(N · Σ K_l · (D + beam · L)) and O(D · Σ_{m<l} K_m · K_l) for the table;
    without, O(N · beam · D · Σ K_l). No N × K matrix is ever made.

    Source: beam search over residual codebooks, as in Babenko, Lempitsky, "Additive quantization
    for extreme vector compression", CVPR 2014; the order of ties is ours.
    """
    op = "rq_encode_beams"
    codewords, sizes = _check_encode(op, x, codebooks, beam)
    if beam > 1:
        return ops.rq_encode_beams(x.detach(), codewords, sizes, beam, beam)
    codes, sq_error = ops.rq_encode(x.detach(), codewords, sizes)
    return codes[:, None], sq_error[:, None]


def rq_decode(codes: Tensor, codebooks: Tensor | Iterable[Tensor]) -> Tensor:
    """The vectors that codes stand for: ``out[n] = Σ_l codebooks[l][codes[n, l]]``.

    Differentiable in ``codebooks``, any number of times; the gradient of a codeword is the sum of
    the gradients of the rows that use it, added in the order of rows, so it is the same bits at any
    number of threads.

    Args:
        codes: ``[N, L]`` int32 or int64. Code −1 (a row that could not be encoded) adds zero.
        codebooks: ``[L, K, D]`` or L tensors ``[K_l, D]``, float32, bfloat16, float16 or float64.

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
    codewords, sizes = _flatten(op, codebooks)
    check_tensor(op, "codebooks", codewords, ndim=2, dtypes=FLOATS, device=codes.device)
    if codes.shape[1] != len(sizes):
        raise ValueError(
            f"{op}: codes must have {len(sizes)} columns, one a level, got {codes.shape[1]}"
        )
    return ops.rq_decode(codes, codewords, sizes)


def nearest_codes(x: Tensor, codebook: Tensor, *, k: int = 1) -> tuple[Tensor, Tensor]:
    """The k nearest codewords of every row, nearest first; the lower index first at equal distance.

    Codewords are chosen as :func:`rq_encode` chooses them, by ½‖c‖² − x·c; the distances of those
    chosen, and the order in which they are returned, come from the difference x − c itself.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebook: ``[K, D]`` of x's dtype, or float32 beside 16-bit x. Codewords must be finite.
        k: how many, from 1 to K.

    Returns:
        ``index [N, k]`` int32 and ``sq_distance [N, k]`` float32 (float64 for float64). A row of x
        that holds a NaN or an infinity gets −1 and NaN. Neither is differentiable.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: shapes that do not fit, k outside 1 … K, a codeword that is not finite.

    Time is O(N · (K · D + k · (D + log k))); the N × K matrix is never made.
    """
    op = "nearest_codes"
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    check_tensor(op, "codebook", codebook, ndim=2, dtypes=FLOATS)
    _check_codewords(op, "codebook", codebook, x)
    if not 1 <= k <= codebook.shape[0]:
        raise ValueError(f"{op}: k must be from 1 to the {codebook.shape[0]} codewords, got {k}")
    return ops.nearest_codes(x.detach(), codebook.detach(), k)


def accumulate_codes(
    x: Tensor, index: Tensor, num_codes: int, *, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sum rows by code: ``sums[k] = Σ_n weight[n] · x[n]`` and ``weights[k] = Σ_n weight[n]``.

    Both sums run over the rows n with ``index[n] = k``, in order, so they are the same bits at any
    number of threads. With ``index`` from :func:`nearest_codes`, ``sums / weights`` is the update
    of Lloyd's k-means.

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
    _check_rows(op, "index", index, x)
    if weight is not None:
        check_tensor(op, "weight", weight, ndim=1, dtypes=FLOATS, device=x.device)
        _check_rows(op, "weight", weight, x)
        weight = weight.detach()
    if num_codes < 0:
        raise ValueError(f"{op}: num_codes must be at least 0, got {num_codes}")
    return ops.accumulate_codes(x.detach(), index, num_codes, weight)


def _check_encode(
    op: str, x: Tensor, codebooks: Tensor | Iterable[Tensor], beam: int
) -> tuple[Tensor, list[int]]:
    """The codewords of all levels, detached, and the K_l; everything checked but the data."""
    if beam < 1:
        raise ValueError(f"{op}: beam must be at least 1, got {beam}")
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    codewords, sizes = _flatten(op, codebooks)
    _check_codewords(op, "codebooks", codewords, x)
    return codewords.detach(), sizes


def _flatten(op: str, codebooks: Tensor | Iterable[Tensor]) -> tuple[Tensor, list[int]]:
    """All levels' codewords in one ``[Σ K_l, D]``, and the K_l."""
    if isinstance(codebooks, Tensor):
        check_tensor(op, "codebooks", codebooks, ndim=3, dtypes=FLOATS)
        levels, size, _ = codebooks.shape
        return codebooks.flatten(0, 1), [size] * levels
    books = list(codebooks)
    if not books:
        raise ValueError(f"{op}: codebooks must hold at least one level, got an empty list")
    for level, book in enumerate(books):
        name = f"codebooks[{level}]"
        check_tensor(
            op,
            name,
            book,
            ndim=2,
            dtypes=[books[0].dtype] if level else FLOATS,
            device=books[0].device,
        )
        if book.shape[1] != books[0].shape[1]:
            raise ValueError(
                f"{op}: {name} must have the dimension of codebooks[0], {books[0].shape[1]}, "
                f"got {book.shape[1]}"
            )
    return torch.cat(books), [book.shape[0] for book in books]


def _check_rows(op: str, name: str, value: Tensor, x: Tensor) -> None:
    if value.shape[0] != x.shape[0]:
        raise ValueError(
            f"{op}: {name} must have {x.shape[0]} entries, one a row of x, got {value.shape[0]}"
        )


def _check_codewords(op: str, name: str, codewords: Tensor, x: Tensor) -> None:
    """Codewords live in x's space: same device and dimension; x's dtype, or f32 beside 16-bit x."""
    beside = (x.dtype,) if x.dtype == torch.float64 else (x.dtype, torch.float32)
    check_tensor(op, name, codewords, ndim=2, dtypes=beside, device=x.device)
    if codewords.shape[1] != x.shape[1]:
        raise ValueError(
            f"{op}: {name} must have x's dimension {x.shape[1]}, got {codewords.shape[1]}"
        )


def _result_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _fake_rq_encode(
    x: Tensor, codewords: Tensor, sizes: list[int], bits: int = 0
) -> tuple[Tensor, Tensor]:
    rows = x.shape[0]
    return x.new_empty((rows, len(sizes)), dtype=torch.int32), x.new_empty(
        rows, dtype=_result_dtype(x)
    )


def _fake_rq_encode_beams(
    x: Tensor, codewords: Tensor, sizes: list[int], beam: int, kept: int
) -> tuple[Tensor, Tensor]:
    shape = (x.shape[0], kept)
    return (
        x.new_empty((*shape, len(sizes)), dtype=torch.int32),
        x.new_empty(shape, dtype=_result_dtype(x)),
    )


def _fake_rq_decode(codes: Tensor, codewords: Tensor, sizes: list[int]) -> Tensor:
    return codewords.new_empty((codes.shape[0], codewords.shape[1]))


def _fake_rq_decode_backward(grad: Tensor, codes: Tensor, sizes: list[int]) -> Tensor:
    return grad.new_empty((sum(sizes), grad.shape[1]))


def _fake_nearest_codes(x: Tensor, codebook: Tensor, k: int) -> tuple[Tensor, Tensor]:
    shape = (x.shape[0], k)
    return x.new_empty(shape, dtype=torch.int32), x.new_empty(shape, dtype=_result_dtype(x))


def _fake_accumulate_codes(
    x: Tensor, index: Tensor, num_codes: int, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    dtype = _result_dtype(x)
    return x.new_empty((num_codes, x.shape[1]), dtype=dtype), x.new_empty(num_codes, dtype=dtype)


_FAKES: dict[str, Callable[..., Any]] = {
    "rq_encode": _fake_rq_encode,
    "rq_encode_beams": _fake_rq_encode_beams,
    "rq_decode": _fake_rq_decode,
    "rq_decode_backward": _fake_rq_decode_backward,
    "nearest_codes": _fake_nearest_codes,
    "accumulate_codes": _fake_accumulate_codes,
}
for _op, _fake in _FAKES.items():
    torch.library.register_fake(f"recops::{_op}", _fake)


def _save_codes(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    first, second, ctx.sizes = inputs
    ctx.save_for_backward(first if not first.is_floating_point() else second)


def _decode_grad(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None]:
    (codes,) = ctx.saved_tensors
    return None, ops.rq_decode_backward(grad, codes, ctx.sizes), None


def _decode_backward_grad(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (codes,) = ctx.saved_tensors
    return ops.rq_decode(codes, grad, ctx.sizes), None, None


# Decoding is linear in the codewords, its backward in the gradient: each is the other's derivative.
torch.library.register_autograd("recops::rq_decode", _decode_grad, setup_context=_save_codes)
torch.library.register_autograd(
    "recops::rq_decode_backward", _decode_backward_grad, setup_context=_save_codes
)

# Under autocast all run in float32: codes chosen in 16 bits would not be those chosen outside.
for _op in ("rq_encode", "rq_encode_beams", "rq_decode", "nearest_codes", "accumulate_codes"):
    torch.library.register_autocast(f"recops::{_op}", "cpu", torch.float32)
