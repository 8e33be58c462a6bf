"""Forward pass of co-action."""

from __future__ import annotations

import triton
import triton.language as tl

from recops.ops.coaction.triton.kernels.candidate import feed_tile, load_candidate, no_tiles
from recops.ops.coaction.triton.kernels.layers import hidden_tiles, linear_sums, reduced, zero_sums


@triton.jit
def _store(out_ptr, values, is_valid, SIZE: tl.constexpr, WIDTH: tl.constexpr):
    columns = tl.arange(0, WIDTH)
    tl.store(out_ptr + columns, tl.where(is_valid, values, float("nan")), mask=columns < SIZE)


@triton.jit(do_not_specialize=["num_users", "time", "feed_rows", "params_rows"])
def coaction_forward(
    feed_ptr,
    params_ptr,
    history_ptr,
    targets_ptr,
    lengths_ptr,
    users_ptr,
    out_ptr,
    num_users,
    time,
    feed_rows,
    params_rows,
    out_stride,
    DIMS: tl.constexpr,
    WIDTHS: tl.constexpr,
    WEIGHTS_AT: tl.constexpr,
    COLUMNS_AT: tl.constexpr,
    INNER: tl.constexpr,
    LAYERS: tl.constexpr,
    ORDERS: tl.constexpr,
    SETS: tl.constexpr,
    SET_WIDTH: tl.constexpr,
    FEATURES: tl.constexpr,
    BIAS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    MEAN: tl.constexpr,
    BLOCK_TIME: tl.constexpr,
):
    """Write one candidate's row of results; NaN if one of its indices is out of range.

    Sums over events run tile by tile, and by a fixed tree in a tile. Layers after the last
    activation run once, on sums. net.py defines the constants.
    """
    user, length, is_valid, params_ptr, weights, biases, scale = load_candidate(
        lengths_ptr, users_ptr, targets_ptr, params_ptr, num_users, params_rows, time, DIMS, WIDTHS,
        WEIGHTS_AT, INNER, SETS, SET_WIDTH, BIAS, MEAN,
    )  # fmt: skip

    FIRST: tl.constexpr = 1 if INNER > 0 else 0  # lowest level that is summed
    COUNT: tl.constexpr = INNER - FIRST + 1
    sums = zero_sums(WIDTHS, ORDERS, FIRST, INNER, BLOCK_TIME)
    for first in range(0, length, BLOCK_TIME):
        steps = first + tl.arange(0, BLOCK_TIME)
        is_event = steps < length
        x = feed_tile(
            feed_ptr, history_ptr, user, steps, is_event, time, feed_rows, DIMS[0], WIDTHS[0]
        )
        power = x
        total = no_tiles()
        for order in tl.static_range(ORDERS):
            if order > 0:
                power = power * x
            tiles = hidden_tiles(
                power, weights, biases, is_event, order % SETS, DIMS, WIDTHS, INNER, BIAS,
                ACTIVATION,
            )  # fmt: skip
            for level in tl.static_range(FIRST, INNER + 1):
                total += (sums[order * COUNT + level - FIRST] + tiles[level],)
        sums = total
    sums = reduced(sums, ORDERS * COUNT)

    out_ptr += tl.program_id(0).to(tl.int64) * out_stride
    for order in tl.static_range(ORDERS):
        for level in tl.static_range(FIRST, INNER + 1):
            if COLUMNS_AT[level] >= 0:
                _store(
                    out_ptr + order * FEATURES + COLUMNS_AT[level],
                    sums[order * COUNT + level - FIRST] * scale,
                    is_valid, DIMS[level], WIDTHS[level],
                )  # fmt: skip
        value = sums[order * COUNT + COUNT - 1]
        set_ptr = params_ptr + (order % SETS) * SET_WIDTH
        for layer in tl.static_range(INNER, LAYERS):
            value = linear_sums(value, set_ptr, length, layer, DIMS, WIDTHS, WEIGHTS_AT, BIAS)
            if COLUMNS_AT[layer + 1] >= 0:
                _store(
                    out_ptr + order * FEATURES + COLUMNS_AT[layer + 1], value * scale, is_valid,
                    DIMS[layer + 1], WIDTHS[layer + 1],
                )  # fmt: skip
