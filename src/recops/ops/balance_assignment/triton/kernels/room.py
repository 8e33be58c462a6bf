"""Nearest code with room for an item."""

from __future__ import annotations

import triton
import triton.language as tl

_LARGEST = tl.constexpr(3.4028234663852886e38)


@triton.jit(do_not_specialize=["count", "size"])
def nearest_with_room(
    x_ptr,
    codebook_ptr,
    weight_ptr,
    capacity_ptr,
    load_ptr,
    is_open_ptr,
    items_ptr,
    codes_ptr,
    count,
    size,
    dim,
    BLOCK_ITEMS: tl.constexpr,
    BLOCK_CODES: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Write the nearest open code with load + weight ≤ capacity of each item, or −1.

    Distances are sums of squared differences; those that overflow count as the largest float.
    Equal distances resolve to the lowest code.
    """
    at = tl.program_id(0) * BLOCK_ITEMS + tl.arange(0, BLOCK_ITEMS)
    is_item = at < count
    items = tl.load(items_ptr + at, mask=is_item, other=0)
    weight = tl.load(weight_ptr + items, mask=is_item, other=0.0)
    best = tl.full([BLOCK_ITEMS], float("inf"), tl.float32)
    code = tl.full([BLOCK_ITEMS], -1, tl.int32)
    for first in range(0, size, BLOCK_CODES):
        codes = first + tl.arange(0, BLOCK_CODES)
        is_code = codes < size
        total = tl.zeros([BLOCK_ITEMS, BLOCK_CODES], tl.float32)
        for first_dim in range(0, dim, BLOCK_DIM):
            for offset in tl.static_range(BLOCK_DIM):
                d = tl.minimum(first_dim + offset, dim - 1)
                item = tl.load(x_ptr + items * dim + d, mask=is_item, other=0.0)
                word = tl.load(codebook_ptr + d * size + codes, mask=is_code, other=0.0)
                difference = tl.where(first_dim + offset < dim, item[:, None] - word[None, :], 0.0)
                total += difference * difference
        load = tl.load(load_ptr + codes, mask=is_code, other=0.0)
        capacity = tl.load(capacity_ptr + codes, mask=is_code, other=0.0)
        is_open = is_code & (tl.load(is_open_ptr + codes, mask=is_code, other=0) != 0)
        fits = is_open[None, :] & (load[None, :] + weight[:, None] <= capacity[None, :])
        distance = tl.where(total < _LARGEST, total, _LARGEST)
        distance = tl.where(fits, distance, float("inf"))
        least, position = tl.min(
            distance, 1, return_indices=True, return_indices_tie_break_left=True
        )
        is_nearer = least < best
        best = tl.where(is_nearer, least, best)
        code = tl.where(is_nearer, first + position, code)
    tl.store(codes_ptr + at, code, mask=is_item)
