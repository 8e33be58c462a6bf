"""Float32 decisions of the rows that the scan lists.

The lengths of the lists are read on the device: a fixed number of programs covers lists of any
length. The order in a list varies from run to run, and no result depends on it.
"""

from __future__ import annotations

import triton
import triton.language as tl

from recops.ops.residual_quantization.triton.kernels.residuals import residual_tile
from recops.ops.residual_quantization.triton.kernels.scan import append

_STEP = tl.constexpr(2.0**-24)
_SLACK = tl.constexpr(1.0 + 2.0**-8)

NO_KEY = 2**63 - 1
"""Initial value of a key."""

_NO_KEY = tl.constexpr(NO_KEY)
_INFINITY_BITS = tl.constexpr(0x7F800000)


@triton.jit
def _shifted_word(words_ptr, shift_ptr, words, mask, dims, dim):
    tile = tl.load(
        words_ptr + words.to(tl.int64)[:, None] * dim + dims[None, :], mask=mask, other=0
    )
    shift = tl.load(shift_ptr + dims, mask=dims < dim, other=0.0)
    return tile.to(tl.float32) - shift[None, :]


@triton.jit(do_not_specialize=["start", "level", "levels"])
def decide_pairs(
    x_ptr,
    words_ptr,
    starts_ptr,
    codes_ptr,
    shift_ptr,
    half_ptr,
    counts_ptr,
    pairs_ptr,
    listed_ptr,
    capacity,
    dim,
    start,
    level,
    levels,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Decide between two codewords in float32, and list the rows whose two scores are too close.

    ``half`` is ½‖c‖². Equal codewords are decided here: the lower code is chosen.
    """
    count = tl.load(counts_ptr)
    offsets = tl.arange(0, BLOCK_DIM)
    stride = tl.num_programs(0) * BLOCK_ROWS
    for begin in range(tl.program_id(0) * BLOCK_ROWS, count, stride):
        at = begin + tl.arange(0, BLOCK_ROWS)
        is_row = at < count
        rows = tl.load(pairs_ptr + at, mask=is_row, other=0)
        one = tl.load(pairs_ptr + capacity + at, mask=is_row, other=0)
        two = tl.load(pairs_ptr + 2 * capacity + at, mask=is_row, other=0)
        one_sum = tl.zeros([BLOCK_ROWS, BLOCK_DIM], tl.float32)
        two_sum = tl.zeros([BLOCK_ROWS, BLOCK_DIM], tl.float32)
        square = tl.zeros([BLOCK_ROWS, BLOCK_DIM], tl.float32)
        difference = tl.zeros([BLOCK_ROWS, BLOCK_DIM], tl.float32)
        for first in range(0, dim, BLOCK_DIM):
            dims = first + offsets
            _, residual = residual_tile(
                x_ptr, words_ptr, starts_ptr, codes_ptr, shift_ptr, rows, is_row, dims, dim, level,
                levels,
            )  # fmt: skip
            mask = is_row[:, None] & (dims < dim)[None, :]
            one_word = _shifted_word(words_ptr, shift_ptr, start + one, mask, dims, dim)
            two_word = _shifted_word(words_ptr, shift_ptr, start + two, mask, dims, dim)
            one_sum += residual * one_word
            two_sum += residual * two_word
            square += residual * residual
            difference = tl.maximum(difference, tl.abs(one_word - two_word))
        one_half = tl.load(half_ptr + start + one, mask=is_row, other=0.0)
        two_half = tl.load(half_ptr + start + two, mask=is_row, other=0.0)
        one_score = one_half - tl.sum(one_sum, 1)
        two_score = two_half - tl.sum(two_sum, 1)
        norm = tl.sqrt_rn(tl.sum(square, 1)) * _SLACK
        size = (
            one_half
            + two_half
            + norm * (tl.sqrt_rn(2 * one_half) + tl.sqrt_rn(2 * two_half)) * _SLACK
        )
        # A score in order of dimensions rounds dim times, and one here once per tile, then in a
        # tree. A product that underflows costs at most 1e-36.
        error = (dim + dim // BLOCK_DIM + 32) * _STEP * size + dim * 1e-36
        is_equal = tl.max(difference, 1) == 0
        is_decided = is_equal | (tl.abs(one_score - two_score) > error)
        is_one = tl.where(is_equal, one < two, one_score < two_score)
        code = tl.where(is_one, one, two)
        tl.store(codes_ptr + rows * levels + level, code, mask=is_row & is_decided)
        is_listed = is_row & ~is_decided
        position = append(counts_ptr + 1, is_listed)
        tl.store(listed_ptr + position, rows, mask=is_listed)


@triton.jit
def _sortable(score):
    """Return integers that are ordered as the scores are. A product that underflows leaves −0."""
    bits = score.to(tl.int32, bitcast=True)
    keys = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return tl.where(score == 0, 0, keys)


@triton.jit(do_not_specialize=["start", "size", "level", "levels"])
def score_all(
    x_ptr,
    words_ptr,
    starts_ptr,
    codes_ptr,
    shift_ptr,
    half_ptr,
    counts_ptr,
    listed_ptr,
    keys_ptr,
    dim,
    start,
    size,
    level,
    levels,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_CODES: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Compare a block of codewords with all listed rows in float32.

    A score starts from ½‖c‖² and subtracts the products in order of dimensions, with fused
    multiply-adds. ``keys`` holds the least score of each listed row in its upper 32 bits and the
    code below. The minimum of keys does not depend on the order of programs, and equal scores
    resolve to the lowest code.
    """
    count = tl.load(counts_ptr + 1)
    offsets = tl.arange(0, BLOCK_DIM)
    columns = tl.program_id(1) * BLOCK_CODES + tl.arange(0, BLOCK_CODES)
    is_column = columns < size
    half = tl.load(half_ptr + start + columns, mask=is_column, other=0.0)
    stride = tl.num_programs(0) * BLOCK_ROWS
    for begin in range(tl.program_id(0) * BLOCK_ROWS, count, stride):
        at = begin + tl.arange(0, BLOCK_ROWS)
        is_row = at < count
        rows = tl.load(listed_ptr + at, mask=is_row, other=0)
        scores = tl.zeros([BLOCK_ROWS, BLOCK_CODES], tl.float32) + half[None, :]
        for first in range(0, dim, BLOCK_DIM):
            dims = first + offsets
            _, residual = residual_tile(
                x_ptr, words_ptr, starts_ptr, codes_ptr, shift_ptr, rows, is_row, dims, dim, level,
                levels,
            )  # fmt: skip
            mask = is_column[:, None] & (dims < dim)[None, :]
            words = _shifted_word(words_ptr, shift_ptr, start + columns, mask, dims, dim)
            scores = tl.dot(-residual, tl.trans(words), scores, input_precision="ieee")
        is_score = is_column[None, :] & (scores == scores)  # Excludes NaN.
        scores = tl.where(is_score, scores, float("inf"))
        best, position = tl.min(scores, 1, return_indices=True, return_indices_tie_break_left=True)
        code = tl.program_id(1) * BLOCK_CODES + position
        key = (_sortable(best).to(tl.int64) << 32) | code.to(tl.int64)
        tl.atomic_min(keys_ptr + at, key, mask=is_row)


@triton.jit(do_not_specialize=["level", "levels"])
def write_listed(
    counts_ptr, listed_ptr, keys_ptr, codes_ptr, level, levels, BLOCK_ROWS: tl.constexpr
):
    """Write the codes of the listed rows from their keys, and reset the keys.

    A row without a score below +inf gets code 0.
    """
    count = tl.load(counts_ptr + 1)
    stride = tl.num_programs(0) * BLOCK_ROWS
    for begin in range(tl.program_id(0) * BLOCK_ROWS, count, stride):
        at = begin + tl.arange(0, BLOCK_ROWS)
        is_row = at < count
        key = tl.load(keys_ptr + at, mask=is_row, other=0)
        code = tl.where((key >> 32) < _INFINITY_BITS, key & 0xFFFFFFFF, 0).to(tl.int32)
        rows = tl.load(listed_ptr + at, mask=is_row, other=0)
        tl.store(codes_ptr + rows * levels + level, code, mask=is_row)
        tl.store(keys_ptr + at, tl.full([BLOCK_ROWS], _NO_KEY, tl.int64), mask=is_row)
