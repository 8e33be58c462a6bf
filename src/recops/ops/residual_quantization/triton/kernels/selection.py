"""Selection of the best continuations of paths, in the order of paths.

A tile of candidates is in registers. The last score that is selected is found bit by bit: 32 counts
of the scores below a bound. Scores become integers of the same order. Equal scores are selected in
the order of candidates, and the selected ones are stored in this order.
"""

from __future__ import annotations

import triton
import triton.language as tl

_LEAST = tl.constexpr(-(2**31))
_MOST = tl.constexpr(0x7FFFFFFF)
_HALF = tl.constexpr(1 << 16)
"""Factor of the first of two counts in one integer. A tile has at most 2^15 candidates."""


@triton.jit
def _keys(scores, is_candidate, STRICT: tl.constexpr):
    """Return integers that are ordered as the scores are. A sum that starts at +0 is never −0.

    NaN comes first with ``STRICT``, so that it is selected and noticed, else it counts as +inf.
    """
    bits = scores.to(tl.int32, bitcast=True)
    keys = tl.where(bits < 0, bits ^ _MOST, bits)
    if STRICT:
        keys = tl.where(scores == scores, keys, _LEAST)
    else:
        keys = tl.where(scores == scores, keys, 0x7F800000)
    return tl.where(is_candidate, keys, _MOST)


@triton.jit
def _scores(keys):
    """Return the scores of keys, where NaN stays NaN with ``STRICT``."""
    return tl.where(keys < 0, keys ^ _MOST, keys).to(tl.float32, bitcast=True)


@triton.jit
def _count(is_counted):
    return tl.sum(tl.sum(is_counted.to(tl.int32), 1), 0)


@triton.jit
def _choose(keys, count):
    """Return which keys are the ``count`` least, and the rank of each in row-major order."""
    last = tl.where(_count(keys < 0) < count, 0, _LEAST)
    for bit in range(31):
        bound = last + (1 << (30 - bit))
        last = tl.where(_count(keys < bound) < count, bound, last)
    is_below, is_last = keys < last, keys == last
    counts = is_below.to(tl.int32) * _HALF + is_last.to(tl.int32)
    totals = tl.sum(counts, 1)
    running = tl.cumsum(counts, 1) + (tl.cumsum(totals, 0) - totals)[:, None]
    missing = count - _count(is_below)
    equal = running & (_HALF - 1)
    is_chosen = is_below | (is_last & (equal <= missing))
    return is_chosen, (running >> 16) + tl.minimum(equal, missing) - 1


@triton.jit
def _store_list(
    positions_ptr, scores_ptr, positions, keys, is_chosen, ranks, count, beam, BLOCK: tl.constexpr
):
    """Write the chosen candidates, and −1 for missing ones."""
    tl.store(positions_ptr + ranks, positions, mask=is_chosen)
    tl.store(scores_ptr + ranks, _scores(keys), mask=is_chosen)
    for first in range(count, beam, BLOCK):
        at = first + tl.arange(0, BLOCK)
        tl.store(positions_ptr + at, tl.full([BLOCK], -1, tl.int32), mask=at < beam)


@triton.jit(do_not_specialize=["parents", "beam", "level_stride"])
def select_children(
    base_ptr,
    table_ptr,
    paths_ptr,
    scores_ptr,
    list_positions_ptr,
    list_scores_ptr,
    base_stride,
    parents,
    beam,
    level_stride,
    SIZES: tl.constexpr,
    STARTS: tl.constexpr,
    LEVEL: tl.constexpr,
    STRICT: tl.constexpr,
    BLOCK_PARENTS: tl.constexpr,
    BLOCK_CODES: tl.constexpr,
    BLOCK_BEAM: tl.constexpr,
):
    """Select the ``beam`` best continuations of a block of paths by a block of codes.

    The score of a continuation is ``base[row, code]``, plus the products of the code's codeword
    with those of the path, plus the score of the path. Position = parent · size + code. ``paths``
    and ``scores`` hold the positions and scores of each level ``[levels, rows, beam]``; ``table``
    the products of the codewords of earlier levels with those of this level.
    """
    row = tl.program_id(0).to(tl.int64)
    size: tl.constexpr = SIZES[LEVEL]
    parent = tl.program_id(1) * BLOCK_PARENTS + tl.arange(0, BLOCK_PARENTS)
    code = tl.program_id(2) * BLOCK_CODES + tl.arange(0, BLOCK_CODES)
    is_parent, is_code = parent < parents, code < size
    is_candidate = is_parent[:, None] & is_code[None, :]
    base = tl.load(base_ptr + row * base_stride + STARTS[LEVEL] + code, mask=is_code, other=0.0)
    score = tl.zeros([BLOCK_PARENTS, BLOCK_CODES], tl.float32) + base[None, :]
    if LEVEL > 0:
        path = parent
        for back in tl.static_range(LEVEL):
            level_ptr = paths_ptr + (LEVEL - 1 - back) * level_stride.to(tl.int64) + row * beam
            position = tl.load(level_ptr + path, mask=is_parent, other=0)
            word = STARTS[LEVEL - 1 - back] + position % SIZES[LEVEL - 1 - back]
            path = position // SIZES[LEVEL - 1 - back]
            score += tl.load(
                table_ptr + word[:, None] * size + code[None, :], mask=is_candidate, other=0.0
            )
        own = scores_ptr + (LEVEL - 1) * level_stride.to(tl.int64) + row * beam + parent
        score += tl.load(own, mask=is_parent, other=0.0)[:, None]
    keys = _keys(score, is_candidate, STRICT)
    own_parents = tl.minimum(parents - tl.program_id(1) * BLOCK_PARENTS, BLOCK_PARENTS)
    own_codes = tl.minimum(size - tl.program_id(2) * BLOCK_CODES, BLOCK_CODES)
    count = tl.minimum(own_parents * own_codes, beam)
    is_chosen, ranks = _choose(keys, count)
    segment = tl.program_id(1) * tl.num_programs(2) + tl.program_id(2)
    at = (row * (tl.num_programs(1) * tl.num_programs(2)) + segment) * beam
    _store_list(
        list_positions_ptr + at, list_scores_ptr + at, parent[:, None] * size + code[None, :], keys,
        is_chosen, ranks, count, beam, BLOCK_BEAM,
    )  # fmt: skip


@triton.jit(do_not_specialize=["lists", "beam"])
def merge_lists(
    positions_ptr,
    scores_ptr,
    out_positions_ptr,
    out_scores_ptr,
    lists,
    beam,
    STRICT: tl.constexpr,
    BLOCK_LISTS: tl.constexpr,
    BLOCK_BEAM: tl.constexpr,
):
    """Select the ``beam`` best candidates of a block of lists ``[rows, lists, beam]``."""
    row = tl.program_id(0).to(tl.int64)
    number = tl.program_id(1) * BLOCK_LISTS + tl.arange(0, BLOCK_LISTS)
    entry = tl.arange(0, BLOCK_BEAM)
    at = (row * lists + number)[:, None] * beam + entry[None, :]
    is_entry = (number < lists)[:, None] & (entry < beam)[None, :]
    positions = tl.load(positions_ptr + at, mask=is_entry, other=-1)
    is_candidate = positions >= 0
    score = tl.load(scores_ptr + at, mask=is_candidate, other=0.0)
    keys = _keys(score, is_candidate, STRICT)
    count = tl.minimum(_count(is_candidate), beam)
    is_chosen, ranks = _choose(keys, count)
    out = (row * tl.num_programs(1) + tl.program_id(1)) * beam
    _store_list(
        out_positions_ptr + out, out_scores_ptr + out, positions, keys, is_chosen, ranks, count,
        beam, BLOCK_BEAM,
    )  # fmt: skip
