"""Codewords of codes: their sums, and their numbers among the codewords of all levels."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["num_rows"])
def decode_codes(
    codes_ptr,
    words_ptr,
    out_ptr,
    num_rows,
    dim,
    SIZES: tl.constexpr,
    STARTS: tl.constexpr,
    LEVELS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Write the sums of codewords ``[rows, dim]``, added level by level in float32.

    Code −1 adds nothing. A row with any other code out of range is NaN.
    """
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    columns = tl.program_id(1) * BLOCK_DIM + tl.arange(0, BLOCK_DIM)
    is_row, is_column = rows < num_rows, columns < dim
    total = tl.zeros([BLOCK_ROWS, BLOCK_DIM], tl.float32)
    is_wrong = tl.zeros([BLOCK_ROWS], tl.int1)
    for level in tl.static_range(LEVELS):
        code = tl.load(codes_ptr + rows.to(tl.int64) * LEVELS + level, mask=is_row, other=-1)
        is_word = (code >= 0) & (code < SIZES[level])
        is_wrong = is_wrong | ((code != -1) & ~is_word)
        word = tl.where(is_word, code, 0).to(tl.int64) + STARTS[level]
        tile = tl.load(
            words_ptr + word[:, None] * dim + columns[None, :],
            mask=is_word[:, None] & is_column[None, :],
            other=0.0,
        )
        total += tile.to(tl.float32)
    total = tl.where(is_wrong[:, None], float("nan"), total)
    tl.store(
        out_ptr + rows.to(tl.int64)[:, None] * dim + columns[None, :],
        total,
        mask=is_row[:, None] & is_column[None, :],
    )


@triton.jit(do_not_specialize=["num_rows"])
def find_words(
    codes_ptr,
    words_ptr,
    num_rows,
    SIZES: tl.constexpr,
    STARTS: tl.constexpr,
    LEVELS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
):
    """Write the number of each code's codeword ``[rows, LEVELS]``; −1 for a code out of range."""
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    is_row = rows < num_rows
    for level in tl.static_range(LEVELS):
        at = rows.to(tl.int64) * LEVELS + level
        code = tl.load(codes_ptr + at, mask=is_row, other=-1)
        is_word = (code >= 0) & (code < SIZES[level])
        word = tl.where(is_word, code, 0).to(tl.int32) + STARTS[level]
        tl.store(words_ptr + at, tl.where(is_word, word, -1), mask=is_row)


@triton.jit
def sum_weights(weight_ptr, order_ptr, starts_ptr, out_ptr, BLOCK_ENTRIES: tl.constexpr):
    """Write the sum of the weights of one row, added in float64.

    ``order`` lists the entries sorted by row, and ``starts`` the first position of each row.
    """
    row = tl.program_id(0)
    begin, end = tl.load(starts_ptr + row), tl.load(starts_ptr + row + 1)
    total = tl.zeros([BLOCK_ENTRIES], tl.float64)
    for first in range(begin, end, BLOCK_ENTRIES):
        at = first + tl.arange(0, BLOCK_ENTRIES)
        is_entry = at < end
        entries = tl.load(order_ptr + at, mask=is_entry, other=0)
        weight = tl.load(weight_ptr + entries, mask=is_entry, other=0.0)
        total += weight.to(tl.float32).to(tl.float64)
    tl.store(out_ptr + row, tl.sum(total, 0).to(tl.float32))
