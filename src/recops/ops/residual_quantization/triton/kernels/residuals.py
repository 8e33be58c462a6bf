"""Residuals: rebuilt from rows and codes, rounded to 16 bits, and their squared norms."""

from __future__ import annotations

import triton
import triton.language as tl

_STEP = tl.constexpr(2.0**-24)
"""Largest relative error of one float32 operation."""

_LARGEST_EXPONENT = tl.constexpr(3)
"""Exponent of a scaled row's largest entry: 8 to 16, far from overflow and underflow."""

_MOST_EXPONENT = tl.constexpr(40)
"""Rows whose scale is outside 2^-40 … 2^40 are decided in float32."""

_SLACK = tl.constexpr(1.0 + 2.0**-8)
"""Factor for the rounding of the bounds themselves."""

_LEAST_NORM = tl.constexpr(1e-15)
"""More than a norm of scaled values loses by the underflow of its squares."""


@triton.jit
def residual_tile(
    x_ptr,
    words_ptr,
    starts_ptr,
    codes_ptr,
    shift_ptr,
    rows,
    is_row,
    dims,
    dim,
    level,
    levels,
):
    """Return tiles of x, and of x − c₀ − … − c_{level−1} − shift, subtracted in this order."""
    is_dim = dims < dim
    mask = is_row[:, None] & is_dim[None, :]
    tile = tl.load(x_ptr + rows.to(tl.int64)[:, None] * dim + dims[None, :], mask=mask, other=0.0)
    row = tile.to(tl.float32)
    residual = row
    for earlier in range(level):
        code = tl.load(codes_ptr + rows * levels + earlier, mask=is_row, other=0)
        word = (tl.load(starts_ptr + earlier) + tl.maximum(code, 0)).to(tl.int64)
        tile = tl.load(words_ptr + word[:, None] * dim + dims[None, :], mask=mask, other=0.0)
        residual = residual - tile.to(tl.float32)
    return row, residual - tl.load(shift_ptr + dims, mask=is_dim, other=0.0)[None, :]


@triton.jit
def _finite_excess(values):
    """Return the sums of rows, where finite values count 0 and the others NaN."""
    return tl.sum(values - values, 1)


@triton.jit(do_not_specialize=["num_rows", "level", "levels"])
def round_residuals(
    x_ptr,
    words_ptr,
    starts_ptr,
    codes_ptr,
    shift_ptr,
    is_bad_ptr,
    facts_ptr,
    rounded_ptr,
    ratio_ptr,
    bound_ptr,
    num_rows,
    dim,
    padded_dim,
    level,
    levels,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_CODES: tl.constexpr,
):
    """Round the residuals of a level to 16 bits, and bound the errors of their scores.

    Writes ``rounded [rows, padded_dim]``, the residual times a power of two s per row; ``ratio``,
    s over the scale of the codewords; and ``bound``, such that a score of a codeword of norm κ is
    within bound · κ (see scan.py). Special bounds: −1, the row or a codeword is not finite; +inf,
    only float32 can decide. ``BLOCK_CODES`` is that of the scan. A tile as wide as the row is built
    once, others twice: s depends on the whole row.
    """
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    is_row = rows < num_rows
    offsets = tl.arange(0, BLOCK_DIM)

    row, residual = residual_tile(
        x_ptr, words_ptr, starts_ptr, codes_ptr, shift_ptr, rows, is_row, offsets, dim, level,
        levels,
    )  # fmt: skip
    row_excess = _finite_excess(row)
    residual_excess = _finite_excess(residual)
    largest = tl.max(tl.abs(residual), 1)
    for first in range(BLOCK_DIM, padded_dim, BLOCK_DIM):
        row, residual = residual_tile(
            x_ptr, words_ptr, starts_ptr, codes_ptr, shift_ptr, rows, is_row, first + offsets, dim,
            level, levels,
        )  # fmt: skip
        row_excess += _finite_excess(row)
        residual_excess += _finite_excess(residual)
        largest = tl.maximum(largest, tl.max(tl.abs(residual), 1))

    is_finite = (row_excess == 0) & (tl.load(is_bad_ptr) == 0)
    exponent = (largest.to(tl.int32, bitcast=True) >> 23) - 127
    shifted = _LARGEST_EXPONENT - exponent
    in_range = (shifted <= _MOST_EXPONENT) & (shifted >= -_MOST_EXPONENT)
    is_zero = largest == 0
    is_usable = (residual_excess == 0) & (in_range | is_zero)
    power = tl.where(is_usable & (largest > 0), shifted, 0)
    scale = ((power + 127) << 23).to(tl.float32, bitcast=True)

    square = tl.zeros([BLOCK_ROWS], tl.float32)
    lost_square = tl.zeros([BLOCK_ROWS], tl.float32)
    for first in range(0, padded_dim, BLOCK_DIM):
        dims = first + offsets
        if padded_dim > BLOCK_DIM:
            row, residual = residual_tile(
                x_ptr, words_ptr, starts_ptr, codes_ptr, shift_ptr, rows, is_row, dims, dim, level,
                levels,
            )  # fmt: skip
        scaled = tl.where((is_usable & is_row)[:, None] & (dims < dim)[None, :], residual, 0.0)
        scaled = scaled * scale[:, None]
        rounded = scaled.to(rounded_ptr.dtype.element_ty)
        value = rounded.to(tl.float32)
        lost = scaled - value
        square += tl.sum(value * value, 1)
        lost_square += tl.sum(lost * lost, 1)
        tl.store(
            rounded_ptr + rows[:, None] * padded_dim + dims[None, :],
            rounded,
            mask=(dims < padded_dim)[None, :],
        )

    # The facts of a level are listed in codewords.py.
    inverse_word_scale = tl.load(facts_ptr)
    word_loss = tl.load(facts_ptr + 1)
    largest_norm = tl.load(facts_ptr + 2)
    inflation = 1.0 + (dim + 16) * _STEP
    share = (4 * (dim + 16) + 2 * BLOCK_CODES) * _STEP
    ratio = scale * inverse_word_scale
    norm = tl.sqrt_rn(square) * inflation + _LEAST_NORM
    lost_norm = tl.sqrt_rn(lost_square) * inflation + _LEAST_NORM
    bound = norm * (word_loss + share) + lost_norm * _SLACK + share * 0.5 * ratio * largest_norm
    bound = tl.where(is_usable, bound * _SLACK, float("inf"))
    bound = tl.where(is_finite, bound, -1.0)
    tl.store(ratio_ptr + rows, ratio)
    tl.store(bound_ptr + rows, bound)


@triton.jit(do_not_specialize=["num_rows", "levels"])
def squared_errors(
    x_ptr,
    words_ptr,
    starts_ptr,
    codes_ptr,
    shift_ptr,
    error_ptr,
    num_rows,
    dim,
    padded_dim,
    levels,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Write the squared norms of the residuals after the last level; NaN for rows without codes."""
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    is_row = rows < num_rows
    offsets = tl.arange(0, BLOCK_DIM)
    total = tl.zeros([BLOCK_ROWS], tl.float32)
    for first in range(0, padded_dim, BLOCK_DIM):
        _, residual = residual_tile(
            x_ptr, words_ptr, starts_ptr, codes_ptr, shift_ptr, rows, is_row, first + offsets, dim,
            levels, levels,
        )  # fmt: skip
        total += tl.sum(residual * residual, 1)
    code = tl.load(codes_ptr + rows * levels, mask=is_row, other=0)
    tl.store(error_ptr + rows, tl.where(code < 0, float("nan"), total), mask=is_row)
