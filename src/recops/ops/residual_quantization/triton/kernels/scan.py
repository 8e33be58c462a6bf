"""Scores of all codewords in 16 bits on tensor cores, with a bound that certifies the nearest one.

The scores of level l are ½‖c‖² − r·c. Rows are scaled by a power of two s and codewords by t, both
are rounded to 16 bits, and the products are summed in float32. With the rounded row r̂, what it
lost ρ = ‖s r − r̂‖, the norm κ = ‖t c‖ and what the codeword lost γ = ‖t c − ĉ‖,

    |s t r·c − r̂·ĉ| ≤ ‖r̂‖ γ + ρ κ + share · ‖r̂‖ κ.

``share`` covers the sums on tensor cores, which truncate, the rounding of the float32 scores, and
their low bits, which hold column numbers. Norms of losses are measured. The error of every score of
a row is therefore at most bound · κ.

Let U be the upper bound of the codeword with the least lower bound. A codeword whose lower bound is
above U is not the nearest. If one codeword is left, the row is decided. If two are left, they go to
a list of pairs, else the row goes to a list for a comparison of all codewords in float32.
"""

from __future__ import annotations

import triton
import triton.language as tl

_NO_SCORE = tl.constexpr(3e38)
"""Larger than every score, and finite: the low bits of infinity must not change."""


@triton.jit
def _with_columns(values, columns):
    """Replace the low bits of float32 values by column numbers, a power of two of them.

    A minimum then also gives its column, and no two values of a row are equal. A value changes by
    less than its last digit times the number of columns.
    """
    width: tl.constexpr = values.shape[1]
    bits = (values.to(tl.int32, bitcast=True) & -width) | columns[None, :]
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def _column(value, first_column, WIDTH: tl.constexpr):
    """Return the column that a value holds."""
    return first_column + (value.to(tl.int32, bitcast=True) & (WIDTH - 1))


@triton.jit
def _merge_three(a1, i1, a2, i2, a3, b1, j1, b2, j2, b3):
    """Merge the three least values of two sets and the columns of the first two."""
    is_b = b1 < a1
    first, first_column = tl.where(is_b, b1, a1), tl.where(is_b, j1, i1)
    other, other_column = tl.where(is_b, a1, b1), tl.where(is_b, i1, j1)
    following, following_column = tl.where(is_b, b2, a2), tl.where(is_b, j2, i2)
    is_following = following < other
    second = tl.where(is_following, following, other)
    second_column = tl.where(is_following, following_column, other_column)
    third = tl.minimum(
        tl.maximum(following, other),
        tl.minimum(tl.where(is_b, b3, a3), tl.where(is_b, a2, b2)),
    )
    return first, first_column, second, second_column, third


@triton.jit
def append(count_ptr, is_entry):
    """Reserve entries at the end of a list, and return the position of each row's entry."""
    entries = is_entry.to(tl.int32)
    first = tl.atomic_add(count_ptr, tl.sum(entries, 0))
    return first + tl.cumsum(entries, 0) - 1


@triton.jit(do_not_specialize=["num_rows", "start", "size", "level", "levels"])
def scan_codewords(
    rounded_ptr,
    rounded_words_ptr,
    ratio_ptr,
    bound_ptr,
    half_ptr,
    norm_ptr,
    codes_ptr,
    counts_ptr,
    pairs_ptr,
    listed_ptr,
    num_rows,
    capacity,
    padded_dim,
    start,
    size,
    level,
    levels,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_CODES: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    UPCAST: tl.constexpr,
):
    """Decide the codes of a level where the bounds allow it, and list the other rows.

    ``half`` and ``norm`` are ½‖t c‖² and κ. ``pairs`` is ``[3, capacity]``: rows and two codes;
    ``listed`` holds rows. ``counts`` are the lengths of both lists, which stay on the device.
    """
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    dims = tl.arange(0, BLOCK_DIM)
    local = tl.arange(0, BLOCK_CODES)
    ratio = tl.load(ratio_ptr + rows)
    bound = tl.load(bound_ptr + rows)
    is_usable = (bound >= 0) & (bound < float("inf"))
    width = tl.where(is_usable, bound, 0.0)

    nothing = tl.full([BLOCK_ROWS], _NO_SCORE, tl.float32)
    first, second, third = nothing, nothing, nothing
    first_code = tl.zeros([BLOCK_ROWS], tl.int32)
    second_code = tl.zeros([BLOCK_ROWS], tl.int32)
    for first_column in range(0, size, BLOCK_CODES):
        columns = first_column + local
        products = tl.zeros([BLOCK_ROWS, BLOCK_CODES], tl.float32)
        row_ptrs = rounded_ptr + rows[:, None] * padded_dim + dims[None, :]
        word_ptrs = rounded_words_ptr + (start + columns)[None, :] * padded_dim + dims[:, None]
        for _ in range(0, padded_dim, BLOCK_DIM):
            row = tl.load(row_ptrs)
            word = tl.load(word_ptrs)
            if UPCAST:
                row = row.to(tl.float32)
                word = word.to(tl.float32)
            products = tl.dot(row, word, products)
            row_ptrs += BLOCK_DIM
            word_ptrs += BLOCK_DIM
        is_column = columns < size
        half = tl.load(half_ptr + start + columns, mask=is_column, other=0.0)
        norm = tl.load(norm_ptr + start + columns, mask=is_column, other=0.0)
        lower = ratio[:, None] * half[None, :] - products - width[:, None] * norm[None, :]
        lower = _with_columns(tl.where(is_column[None, :], lower, _NO_SCORE), local)
        least = tl.min(lower, 1)
        next_least = tl.min(tl.where(lower > least[:, None], lower, _NO_SCORE), 1)
        last = tl.min(tl.where(lower > next_least[:, None], lower, _NO_SCORE), 1)
        first, first_code, second, second_code, third = _merge_three(
            first,
            first_code,
            second,
            second_code,
            third,
            least,
            _column(least, first_column, BLOCK_CODES),
            next_least,
            _column(next_least, first_column, BLOCK_CODES),
            last,
        )

    is_row = rows < num_rows
    is_finite = bound >= 0
    norm = tl.load(norm_ptr + start + tl.minimum(first_code, size - 1))
    upper = first + 2 * width * norm
    is_decided = is_usable & (second > upper)
    is_pair = is_usable & (second <= upper) & (third > upper)
    code = tl.where(is_finite, first_code, -1)
    tl.store(codes_ptr + rows * levels + level, code, mask=is_row & (is_decided | ~is_finite))

    is_pair = is_pair & is_row
    at = append(counts_ptr, is_pair)
    tl.store(pairs_ptr + at, rows, mask=is_pair)
    tl.store(pairs_ptr + capacity + at, first_code, mask=is_pair)
    tl.store(pairs_ptr + 2 * capacity + at, second_code, mask=is_pair)
    is_listed = is_row & is_finite & ~is_decided & ~is_pair
    at = append(counts_ptr + 1, is_listed)
    tl.store(listed_ptr + at, rows, mask=is_listed)
