"""Composites of residual quantization."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from recops._checks import check_integer
from recops._debug import checks_data
from recops._dtypes import compute_dtype, widened
from recops.ops._composite import first_index, sum_by_row
from recops.ops._shapes import check_dim, check_numel, check_shape

_BLOCK_VALUES = 1 << 24
"""Largest number of scores per block of rows."""

_SHIFT_SAMPLE = 64
"""Number of codewords whose mean is the shift, as in csrc/residual_quantization/shift-inl.h."""

_INT32_MAX = 2**31 - 1
_MOST_SAMPLES = 1 << 20

_PHILOX = (0xD2511F53, 0xCD9E8D57)
_PHILOX_KEYS = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF


def rq_encode(
    x: Tensor, codewords: Tensor, sizes: Sequence[int], bits: int = 0
) -> tuple[Tensor, Tensor]:
    """Compute ``recops::rq_encode``. Checks codewords, see :func:`recops.debug`.

    Slower than a dedicated kernel: it writes the scores of all codewords of a level, ``[N, K]``, in
    blocks of rows. ``bits`` selects a method of the CPU kernel and has no effect.
    """
    levels = _Levels("rq_encode", "codebooks", x, codewords, sizes)
    _check_bits("rq_encode", bits, 8, 16)
    codes = [_empty_codes(0, len(sizes), x)]
    errors = [x.new_empty(0, dtype=levels.dtype)]
    for rows in _blocks(len(x), levels.largest):
        residual, is_finite = levels.read(x[rows])
        code = _empty_codes(len(residual), 0, x)
        for level, book in enumerate(levels.books):
            index = levels.nearest(level, residual)
            residual = residual - book[index]
            code = torch.cat([code, index.int()[:, None]], 1)
        codes.append(code.masked_fill(~is_finite[:, None], -1))
        errors.append(residual.square().sum(1).masked_fill(~is_finite, torch.nan))
    return torch.cat(codes), torch.cat(errors)


def nearest_codes(x: Tensor, codebook: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Compute ``recops::nearest_codes``. Checks codewords, see :func:`recops.debug`.

    Much slower than a dedicated kernel if k > 1: it sorts the scores of all codewords.
    """
    check_dim("nearest_codes", "codebook", codebook, 2)
    levels = _Levels("nearest_codes", "codebook", x, codebook, [len(codebook)])
    check_integer("nearest_codes", "k", k, least=1, most=len(codebook))
    indices = [_empty_codes(0, k, x)]
    distances = [x.new_empty((0, k), dtype=levels.dtype)]
    for rows in _blocks(len(x), max(len(codebook), k * x.shape[1])):
        values, is_finite = levels.read(x[rows])
        if k == 1:
            index = levels.nearest(0, values)[:, None]
        else:
            index = levels.scores(0, values).sort(dim=1, stable=True).indices[:, :k]
        distance = (values[:, None] - levels.books[0][index]).square().sum(2)
        distance, order = distance.sort(dim=1, stable=True)
        index = index.gather(1, order)
        indices.append(index.int().masked_fill(~is_finite[:, None], -1))
        distances.append(distance.masked_fill(~is_finite[:, None], torch.nan))
    return torch.cat(indices), torch.cat(distances)


def rq_encode_beams(
    x: Tensor, codewords: Tensor, sizes: Sequence[int], beam: int, num_paths: int, bits: int = 0
) -> tuple[Tensor, Tensor]:
    """Compute ``recops::rq_encode_beams``.

    Much slower than a dedicated kernel: scores and sorts ``[N, beam · K]`` continuations per level.
    ``bits`` selects a method of the CPU kernel and has no effect.
    """
    op = "rq_encode" if num_paths < beam else "rq_encode_beams"
    levels = _Levels(op, "codebooks", x, codewords, sizes)
    check_integer(op, "beam", beam, least=1, most=_INT32_MAX // levels.largest)
    check_integer(op, "kept", num_paths, least=1, most=beam)
    _check_bits(op, bits, 16)
    codes = [x.new_empty((0, num_paths, len(sizes)), dtype=torch.int32)]
    errors = [x.new_empty((0, num_paths), dtype=levels.dtype)]
    for rows in _blocks(len(x), beam * (levels.largest + x.shape[1])):
        values, is_finite = levels.read(x[rows])
        paths, error, is_known = _beams(values, levels, beam)
        missing = max(num_paths - paths.shape[1], 0)
        paths = torch.nn.functional.pad(paths[:, :num_paths], (0, 0, 0, missing), value=-1)
        error = torch.nn.functional.pad(error[:, :num_paths], (0, missing), value=torch.inf)
        is_valid = (is_finite & (is_known | (beam == 1)))[:, None]
        codes.append(paths.masked_fill(~is_valid[:, :, None], -1))
        errors.append(error.masked_fill(~is_valid, torch.nan))
    return torch.cat(codes), torch.cat(errors)


def _beams(x: Tensor, levels: _Levels, beam: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the paths by ascending error, their errors, and whether no score overflowed."""
    rows, dim = x.shape
    residual = x[:, None]  # (rows, beams, D), in the order of paths
    paths = x.new_empty((rows, 1, 0), dtype=torch.int32)
    is_known = torch.ones(rows, dtype=torch.bool, device=x.device)
    for level, book in enumerate(levels.books):
        scores = levels.scores(level, residual)
        if level > 0:  # half the squared distance, to compare paths
            scores = scores + residual.square().sum(2, keepdim=True) / 2
        scores = scores.flatten(1)
        is_known &= scores.isfinite().all(1)
        # The stable sort gives ties to the lower path; the second sort restores the path order.
        best = scores.sort(dim=1, stable=True).indices[:, :beam].sort(dim=1).values
        parents, codes = (best // len(book))[:, :, None], best % len(book)
        paths = paths.gather(1, parents.expand(-1, -1, level))
        paths = torch.cat([paths, codes.int()[:, :, None]], 2)
        residual = residual.gather(1, parents.expand(-1, -1, dim)) - book[codes]
    sq_error, order = residual.square().sum(2).sort(dim=1, stable=True)
    return paths.gather(1, order[:, :, None].expand_as(paths)), sq_error, is_known


def rq_decode(codes: Tensor, codewords: Tensor, sizes: Sequence[int]) -> Tensor:
    """Compute ``recops::rq_decode``. Checks codes, see :func:`recops.debug`.

    Slower than a dedicated kernel: it gathers and adds the codewords of each level in turn.
    """
    check_dim("rq_decode", "codewords", codewords, 2)
    check_dim("rq_decode", "codes", codes, 2)
    _check_sizes("rq_decode", sizes, len(codewords))
    _check_codes("rq_decode", "codes", codes, sizes)
    total = codewords.new_zeros(
        (len(codes), codewords.shape[1]), dtype=compute_dtype(codewords.dtype)
    )
    for code, book in zip(codes.long().unbind(1), codewords.split(list(sizes)), strict=True):
        if len(book):
            total = total + book[code.clamp(min=0)].where((code >= 0)[:, None], 0)
    return total.to(codewords.dtype)


def rq_decode_backward(grad: Tensor, codes: Tensor, sizes: Sequence[int]) -> Tensor:
    """Compute the gradient of the codewords.

    Much slower than a dedicated kernel: it sorts the codes of each level (see :func:`sum_by_row`).
    """
    _check_sizes("rq_decode_backward", sizes)
    check_dim("rq_decode_backward", "values", grad, 2)
    check_shape("rq_decode_backward", "codes", codes, len(grad), len(sizes))
    _check_codes("rq_decode_backward", "codes", codes, sizes)
    values = widened(grad)
    sums = [
        sum_by_row(values, code, size) for code, size in zip(codes.unbind(1), sizes, strict=True)
    ]
    return torch.cat([values.new_empty((0, grad.shape[1])), *sums]).to(grad.dtype)


def accumulate_codes(
    x: Tensor, index: Tensor, num_codes: int, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Compute ``recops::accumulate_codes``.

    Much slower than a dedicated kernel: it sorts the rows by code (see :func:`sum_by_row`).
    """
    check_dim("accumulate_codes", "x", x, 2)
    check_numel("accumulate_codes", "index", index, len(x))
    if weight is not None:
        check_numel("accumulate_codes", "weight", weight, len(x))
    _check_sizes("accumulate_codes", [num_codes])
    index = index.flatten()
    _check_codes("accumulate_codes", "index", index, [num_codes])
    values = widened(x)
    weights = values.new_ones(len(x)) if weight is None else weight.flatten().to(values.dtype)
    if weight is not None:
        values = values * weights[:, None]
    sums = sum_by_row(torch.cat([values, weights[:, None]], 1), index, num_codes)
    return sums[:, :-1].contiguous(), sums[:, -1].contiguous()


def code_flips(
    x: Tensor,
    codewords: Tensor,
    sizes: Sequence[int],
    sigma: Tensor,
    samples: int,
    seed: int,
    begin: int,
    end: int,
) -> Tensor:
    """Compute ``recops::code_flips``, with the noise of the kernel up to rounding.

    Much slower than a dedicated kernel: about 100 passes over memory per draw of noise.
    """
    op = "code_flip_rate"
    _check_matrices(op, x, codewords)
    check_numel(op, "sigma", sigma, len(sizes))
    most = min(_MOST_SAMPLES, _INT32_MAX // max(len(sizes), 1))  # a draw has an int32 number
    check_integer(op, "samples", samples, least=1, most=most)
    check_integer(op, "begin", begin, least=0, most=len(x))
    check_integer(op, "end", end, least=begin, most=len(x))
    wrong = first_index(~((sigma >= 0) & sigma.isfinite()))
    if wrong is not None:
        raise ValueError(
            f"{op}: sigma must be finite and at least 0, got sigma{wrong} = "
            f"{float(sigma[wrong[0]]):g}"
        )
    levels = _Levels(op, "codebooks", x, codewords, sizes)
    flips = x.new_zeros(len(sizes) + 1, dtype=torch.int64)
    for block in _blocks(end - begin, max(levels.largest, 4 * x.shape[1])):
        first, last = begin + block.start, min(begin + block.stop, end)
        residual, is_finite = levels.read(x[first:last])
        counts = []
        for level, book in enumerate(levels.books):
            codes = levels.nearest(level, residual)
            count = flips.new_zeros(())
            for sample in range(samples):
                draw = sample * len(sizes) + level
                noise = _normals(seed, first, last, draw, x).to(residual.dtype)
                moved = levels.nearest(level, residual + sigma[level].to(residual.dtype) * noise)
                count = count + ((moved != codes) & is_finite).sum()
            counts.append(count)
            residual = residual - book[codes]
        flips = flips + torch.stack([*counts, is_finite.sum()])
    return flips


def _normals(seed: int, first: int, last: int, draw: int, x: Tensor) -> Tensor:
    """Return standard normals ``[rows, D]``; csrc/residual_quantization/normal-inl.h has the steps.

    Philox4x32-10 gives the bits of each row, draw and dimension. Words of 32 bits are in int64.
    """
    dim = x.shape[1]
    row = torch.arange(first, last, device=x.device)[:, None]
    counter = torch.arange(-(-dim // 64) * 16, device=x.device).expand(last - first, -1)
    words = [counter, torch.full_like(counter, draw), (row & _WORD) + 0 * counter, row >> 32]
    keys = [seed & _WORD, (seed >> 32) & _WORD]
    for _ in range(10):
        a, b = words[0] * _PHILOX[0], words[2] * _PHILOX[1]
        words = [
            ((b >> 32) & _WORD) ^ words[1] ^ keys[0],
            b & _WORD,
            ((a >> 32) & _WORD) ^ words[3] ^ keys[1],
            a & _WORD,
        ]
        keys = [(key + step) & _WORD for key, step in zip(keys, _PHILOX_KEYS, strict=True)]
    lanes = [
        normal.view(last - first, -1, 16)
        for pair in (words[:2], words[2:])
        for normal in _normal_pair(*pair)
    ]
    return torch.stack(lanes, 2).flatten(1)[:, :dim]


def _normal_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return two independent standard normals from two words, by the Box–Muller transform."""
    radius = (-2 * (((a >> 8).float() + 0.5) * 2**-24).log()).sqrt()
    low = (b << 2) & _WORD
    low = torch.where(low >= 1 << 31, low - (1 << 32), low) >> 8
    angle = (low.float() + 0.5) * (2**-24 * math.pi / 2)
    sine, cosine = angle.sin(), angle.cos()
    is_swapped = (b & 0x40000000) != 0
    radius = torch.where((b & 0x80000000) != 0, -radius, radius)
    return radius * torch.where(is_swapped, -sine, cosine), radius * torch.where(
        is_swapped, cosine, sine
    )


class _Levels:
    """Codebooks in the dtype of computation, with half the squared norms of the codewords.

    Rows and codewords of level 0 are shifted near the origin for the scores, so that the offset of
    the data costs no digits.
    """

    def __init__(
        self, op: str, name: str, x: Tensor, codewords: Tensor, sizes: Sequence[int]
    ) -> None:
        self.dtype = compute_dtype(x.dtype)
        _check_matrices(op, x, codewords)
        _check_sizes(op, sizes, len(codewords))
        if not sizes:
            raise ValueError(f"{op}: codebooks must have at least one level, got none")
        for level, size in enumerate(sizes):
            if size == 0:
                raise ValueError(
                    f"{op}: codebooks[{level}] must have at least one codeword, got none"
                )
        self.books = codewords.to(self.dtype).split(list(sizes))
        self.largest = max(sizes)
        self.shift = _shift(self.books[0])
        self.words = [self.books[0] - self.shift, *self.books[1:]]
        self.half_norms = [words.square().sum(1) / 2 for words in self.words]
        self.first = [_first_equal(book) for book in self.books]
        self._check_finite(op, name)

    def _check_finite(self, op: str, name: str) -> None:
        """Check that the codewords and their squared norms are finite; see :func:`recops.debug`."""
        if not checks_data(self.shift):
            return
        norms = [
            book.square().sum(1) + half
            for book, half in zip(self.books, self.half_norms, strict=True)
        ]
        index = first_index(~torch.cat(norms).isfinite())
        if index is not None:
            level, code = 0, index[0]
            while code >= len(self.books[level]):
                level, code = level + 1, code - len(self.books[level])
            entry = str(code) if name == "codebook" else f"{level}][{code}"
            norms_of = "its" if name == "codebook" else "their"
            raise ValueError(
                f"{op}: {name} must be finite, and so {norms_of} squared norms, got {name}[{entry}]"
            )

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows in the dtype of computation and which are finite; others become 0."""
        wide = x.to(self.dtype)
        is_finite = wide.isfinite().all(1)
        return wide.masked_fill(~is_finite[:, None], 0), is_finite

    def scores(self, level: int, x: Tensor) -> Tensor:
        """Return ½‖c‖² − x · c, which orders codewords by distance from x ``[…, D]``.

        Equal codewords have the score of the first of them: a matrix product may round a column
        differently at another position.
        """
        if level == 0:
            x = x - self.shift
        scores: Tensor = self.half_norms[level] - x @ self.words[level].T
        return scores.index_select(-1, self.first[level])

    def nearest(self, level: int, x: Tensor) -> Tensor:
        """Return the nearest codeword of each row; ties go to the lowest."""
        return self.scores(level, x).argmin(1)


def _first_equal(codewords: Tensor) -> Tensor:
    """Return the lowest index of an equal codeword, for each codeword.

    Sums of bits times odd numbers group equal codewords. If different ones have the same sum, the
    comparison leaves those that differ from the first as they are.
    """
    size, dim = codewords.shape
    numbers = torch.arange(size, device=codewords.device)
    factors = torch.arange(1, dim + 1, device=codewords.device) * 0x1E3779B97F4A7C15
    factors = (factors ^ (factors >> 29)) * 0x3F58476D1CE4E5B9 | 1
    bits = (codewords + 0).view(torch.int32 if codewords.dtype == torch.float32 else torch.int64)
    key, order = (bits * factors).sum(1).sort(stable=True)
    is_first = torch.cat([key.new_ones(1, dtype=torch.bool), key[1:] != key[:-1]])
    first = torch.empty_like(order)
    first[order] = order[numbers.where(is_first, 0).cummax(0).values]
    return first.where((codewords[first] == codewords).all(1), numbers)


def _shift(codewords: Tensor) -> Tensor:
    """Return a vector near the mean of the codewords, on a grid, so that subtraction is exact."""
    sample = codewords[:: -(-len(codewords) // _SHIFT_SAMPLE)]
    mean = sample.mean(0)
    spread = (sample - mean).abs().mean(0)
    grid = torch.exp2(torch.floor(torch.log2(spread)) + 2)
    steps = (mean / grid).round()
    is_exact = steps.abs() < 0.25 / torch.finfo(codewords.dtype).eps
    shift = torch.where(is_exact, steps * grid, mean)
    finite: Tensor = shift.where(shift.isfinite(), 0)
    return finite


def _blocks(rows: int, values: int) -> Iterator[slice]:
    """Yield slices of rows that have at most ``_BLOCK_VALUES`` values, and at least one row."""
    size = max(1, _BLOCK_VALUES // max(values, 1))
    for first in range(0, rows, size):
        yield slice(first, first + size)


def _empty_codes(rows: int, levels: int, like: Tensor) -> Tensor:
    return like.new_empty((rows, levels), dtype=torch.int32)


def _check_matrices(op: str, x: Tensor, codewords: Tensor) -> None:
    check_dim(op, "x", x, 2)
    check_dim(op, "codewords", codewords, 2)
    if x.shape[1] != codewords.shape[1]:
        raise ValueError(
            f"{op}: x must have the codewords' dimension, {codewords.shape[1]}, got {x.shape[1]}"
        )


def _check_sizes(op: str, sizes: Sequence[int], num_codewords: int | None = None) -> None:
    total = 0
    for level, size in enumerate(sizes):
        if not 0 <= size <= _INT32_MAX - total:
            raise ValueError(
                f"{op}: sizes must be at least 0 and add up to {_INT32_MAX} at most, "
                f"got sizes[{level}] = {size}"
            )
        total += size
    if num_codewords is not None and total != num_codewords:
        raise ValueError(
            f"{op}: sizes must add up to the number of codewords, {num_codewords}, got {total}"
        )


def _check_bits(op: str, bits: int, *grids: int) -> None:
    if bits not in (0, *grids, 32):
        names = ", ".join(map(str, (0, *grids)))
        raise ValueError(f"{op}: bits must be {names} or 32, got {bits}")


def _check_codes(op: str, name: str, codes: Tensor, sizes: Sequence[int]) -> None:
    """Check that codes ``[N, L]``, or ``[N]`` for one level, are −1 or in their codebooks.

    See :func:`recops.debug` for devices other than the CPU.
    """
    columns = codes.unbind(1) if codes.ndim == 2 else [codes]
    if codes.ndim == 2:
        check_shape(op, name, codes, len(codes), len(sizes))
    if not columns or not checks_data(codes):
        return
    too_large = [code >= size for code, size in zip(columns, sizes, strict=True)]
    is_too_large = torch.stack(too_large, 1) if codes.ndim == 2 else too_large[0]
    index = first_index((codes < -1) | is_too_large)
    if index is not None:
        size = sizes[index[1] if codes.ndim == 2 else 0]
        raise IndexError(
            f"{op}: {name} must be from 0 to {size - 1}, or -1 for none, "
            f"got {name}{index} = {int(codes[tuple(index)])}"
        )
