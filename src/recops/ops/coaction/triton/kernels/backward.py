"""Backward pass of co-action, which recomputes the forward pass."""

from __future__ import annotations

import triton
import triton.language as tl

from recops.ops.coaction.triton.kernels.candidate import (
    feed_tile,
    load_candidate,
    no_tiles,
    row_tile,
    weight_tile,
    zero_row,
    zero_tile,
)
from recops.ops.coaction.triton.kernels.layers import (
    derivative,
    hidden_tiles,
    is_value,
    linear_sums,
    reduced,
    replaced,
    zero_sums,
)


@triton.jit
def _store_row(ptr, values, is_valid, SIZE: tl.constexpr, WIDTH: tl.constexpr):
    columns = tl.arange(0, WIDTH)
    tl.store(ptr + columns, tl.where(is_valid, values, float("nan")), mask=columns < SIZE)


@triton.jit
def _store_weights(
    ptr, values, is_valid, INPUTS: tl.constexpr, OUTPUTS: tl.constexpr,
    INPUT_WIDTH: tl.constexpr, OUTPUT_WIDTH: tl.constexpr,
):  # fmt: skip
    rows = tl.arange(0, INPUT_WIDTH)[:, None]
    columns = tl.arange(0, OUTPUT_WIDTH)[None, :]
    values = tl.where(is_valid, values, float("nan"))
    tl.store(ptr + rows * OUTPUTS + columns, values, mask=(rows < INPUTS) & (columns < OUTPUTS))


@triton.jit
def _sum_gradients(
    grad_ptr, set_ptr, scale, ORDER: tl.constexpr, DIMS: tl.constexpr,
    WIDTHS: tl.constexpr, WEIGHTS_AT: tl.constexpr, COLUMNS_AT: tl.constexpr,
    INNER: tl.constexpr, LAYERS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    """Return the gradients of the sums at levels LAYERS, LAYERS − 1, … INNER of one order."""
    grads = no_tiles()
    for level in tl.static_range(LAYERS, INNER - 1, -1):
        if COLUMNS_AT[level] >= 0:
            own = scale * row_tile(
                grad_ptr + ORDER * FEATURES + COLUMNS_AT[level], DIMS[level], WIDTHS[level]
            )
        else:
            own = zero_row(WIDTHS[level])
        if level < LAYERS:
            weight = weight_tile(
                set_ptr + WEIGHTS_AT[level], DIMS[level], DIMS[level + 1], WIDTHS[level],
                WIDTHS[level + 1],
            )  # fmt: skip
            own += tl.sum(weight * grads[LAYERS - level - 1][None, :], 1)
        grads += (own,)
    return grads


@triton.jit
def _top_gradients(
    grad_ptr, params_ptr, scale, DIMS: tl.constexpr, WIDTHS: tl.constexpr,
    WEIGHTS_AT: tl.constexpr, COLUMNS_AT: tl.constexpr, INNER: tl.constexpr, LAYERS: tl.constexpr,
    ORDERS: tl.constexpr, SETS: tl.constexpr, SET_WIDTH: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    """Return the gradient of the sums at level INNER of every order."""
    tops = no_tiles()
    for order in tl.static_range(ORDERS):
        grads = _sum_gradients(
            grad_ptr, params_ptr + (order % SETS) * SET_WIDTH, scale, order, DIMS, WIDTHS,
            WEIGHTS_AT, COLUMNS_AT, INNER, LAYERS, FEATURES,
        )  # fmt: skip
        tops += (grads[LAYERS - INNER],)
    return tops


@triton.jit
def _zero_weights(
    WIDTHS: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr, SETS: tl.constexpr
):
    """Return zeros like the weights of the layers from FIRST to LAST − 1 of every set."""
    weights = no_tiles()
    for _ in tl.static_range(SETS):
        for layer in tl.static_range(FIRST, LAST):
            weights += (zero_tile(WIDTHS[layer], WIDTHS[layer + 1]),)
    return weights


@triton.jit
def _zero_biases(WIDTHS: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr, SETS: tl.constexpr):
    """Return zeros like the biases of the layers from FIRST to LAST − 1 of every set."""
    biases = no_tiles()
    for _ in tl.static_range(SETS):
        for layer in tl.static_range(FIRST, LAST):
            biases += (zero_row(WIDTHS[layer + 1]),)
    return biases


@triton.jit
def _add_weights(sums, inputs, grad, INDEX: tl.constexpr):
    """Add the gradient of one layer's weights to the sums of all."""
    total = tl.dot(tl.trans(inputs), grad, sums[INDEX], input_precision="ieee")
    return replaced(sums, total, INDEX)


@triton.jit
def _add_biases(sums, grad, INDEX: tl.constexpr):
    """Add the gradient of one layer's biases to the sums of all."""
    return replaced(sums, sums[INDEX] + tl.sum(grad, 0), INDEX)


@triton.jit(do_not_specialize=["num_users", "time", "feed_rows", "params_rows"])
def coaction_backward(
    feed_ptr,
    params_ptr,
    history_ptr,
    targets_ptr,
    lengths_ptr,
    users_ptr,
    grad_ptr,
    grad_feed_ptr,
    grad_params_ptr,
    num_users,
    time,
    feed_rows,
    params_rows,
    grad_stride,
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
    """Write the gradients of one candidate's parameters and of its user's events.

    ``grad_feed [B, T, d0]`` is zero past the length. The parameters' gradient is NaN if an index of
    the candidate is out of range. Sums over events run tile by tile, then order by order.
    """
    candidate = tl.program_id(0).to(tl.int64)
    user, length, is_valid, params_ptr, weights, biases, scale = load_candidate(
        lengths_ptr, users_ptr, targets_ptr, params_ptr, num_users, params_rows, time, DIMS, WIDTHS,
        WEIGHTS_AT, INNER, SETS, SET_WIDTH, BIAS, MEAN,
    )  # fmt: skip
    grad_ptr += candidate * grad_stride
    grad_feed_ptr += candidate * time * DIMS[0]
    grad_params_ptr += candidate * (SETS * SET_WIDTH)

    tops = _top_gradients(
        grad_ptr, params_ptr, scale, DIMS, WIDTHS, WEIGHTS_AT, COLUMNS_AT, INNER, LAYERS, ORDERS,
        SETS, SET_WIDTH, FEATURES,
    )  # fmt: skip
    sums = zero_sums(WIDTHS, ORDERS, INNER, INNER, BLOCK_TIME)
    grad_weights = _zero_weights(WIDTHS, 0, INNER, SETS)
    grad_biases = _zero_biases(WIDTHS, 0, INNER, SETS)

    columns = tl.arange(0, WIDTHS[0])
    for first in range(0, length, BLOCK_TIME):
        steps = first + tl.arange(0, BLOCK_TIME)
        is_event = steps < length
        x = feed_tile(
            feed_ptr, history_ptr, user, steps, is_event, time, feed_rows, DIMS[0], WIDTHS[0]
        )
        power = x
        below = zero_tile(BLOCK_TIME, WIDTHS[0]) + 1.0  # derivative of the power
        grad_x = zero_tile(BLOCK_TIME, WIDTHS[0])
        total = no_tiles()
        for order in tl.static_range(ORDERS):
            if order > 0:
                below = power * (order + 1.0)
                power = power * x
            tiles = hidden_tiles(
                power, weights, biases, is_event, order % SETS, DIMS, WIDTHS, INNER, BIAS,
                ACTIVATION,
            )  # fmt: skip
            total += (sums[order] + tiles[INNER],)
            grad = tops[order][None, :] + zero_tile(BLOCK_TIME, WIDTHS[INNER])
            for layer in tl.static_range(INNER - 1, -1, -1):
                if layer < INNER - 1 and COLUMNS_AT[layer + 1] >= 0:
                    at = order * FEATURES + COLUMNS_AT[layer + 1]
                    own = row_tile(grad_ptr + at, DIMS[layer + 1], WIDTHS[layer + 1])
                    grad = grad + scale * own[None, :]
                grad = grad * derivative(tiles[layer + 1], ACTIVATION)
                grad = tl.where(is_value(is_event, DIMS[layer + 1], WIDTHS[layer + 1]), grad, 0.0)
                grad_weights = _add_weights(
                    grad_weights, tiles[layer], grad, (order % SETS) * INNER + layer
                )
                if BIAS:
                    grad_biases = _add_biases(grad_biases, grad, (order % SETS) * INNER + layer)
                weight = tl.trans(weights[(order % SETS) * INNER + layer])
                grad = tl.dot(grad, weight, input_precision="ieee")
            grad_x += grad * below
        sums = total
        rows = steps.to(tl.int64)[:, None] * DIMS[0]
        tl.store(
            grad_feed_ptr + rows + columns[None, :],
            tl.where(is_event[:, None], grad_x, 0.0),
            mask=(steps < time)[:, None] & (columns < DIMS[0])[None, :],
        )

    for first in range(tl.cdiv(length, BLOCK_TIME) * BLOCK_TIME, time, BLOCK_TIME):
        steps = first + tl.arange(0, BLOCK_TIME)
        tl.store(
            grad_feed_ptr + steps.to(tl.int64)[:, None] * DIMS[0] + columns[None, :],
            zero_tile(BLOCK_TIME, WIDTHS[0]),
            mask=(steps < time)[:, None] & (columns < DIMS[0])[None, :],
        )
    for number in tl.static_range(SETS):
        for layer in tl.static_range(INNER):
            at = number * SET_WIDTH + WEIGHTS_AT[layer]
            _store_weights(
                grad_params_ptr + at, grad_weights[number * INNER + layer], is_valid, DIMS[layer],
                DIMS[layer + 1], WIDTHS[layer], WIDTHS[layer + 1],
            )  # fmt: skip
            if BIAS:
                _store_row(
                    grad_params_ptr + at + DIMS[layer] * DIMS[layer + 1],
                    grad_biases[number * INNER + layer], is_valid, DIMS[layer + 1],
                    WIDTHS[layer + 1],
                )  # fmt: skip
    _store_tail(
        grad_ptr, params_ptr, grad_params_ptr, reduced(sums, ORDERS), length, scale, is_valid, DIMS,
        WIDTHS, WEIGHTS_AT, COLUMNS_AT, INNER, LAYERS, ORDERS, SETS, SET_WIDTH, FEATURES, BIAS,
    )  # fmt: skip


@triton.jit
def _store_tail(
    grad_ptr, params_ptr, grad_params_ptr, sums, length, scale, is_valid, DIMS: tl.constexpr,
    WIDTHS: tl.constexpr, WEIGHTS_AT: tl.constexpr, COLUMNS_AT: tl.constexpr,
    INNER: tl.constexpr, LAYERS: tl.constexpr, ORDERS: tl.constexpr, SETS: tl.constexpr,
    SET_WIDTH: tl.constexpr, FEATURES: tl.constexpr, BIAS: tl.constexpr,
):  # fmt: skip
    """Write the gradients of the layers that run on sums."""
    for number in tl.static_range(SETS):
        set_ptr = params_ptr + number * SET_WIDTH
        weights = _zero_weights(WIDTHS, INNER, LAYERS, 1)
        biases = _zero_biases(WIDTHS, INNER, LAYERS, 1)
        for order in tl.static_range(number, ORDERS, SETS):
            grads = _sum_gradients(
                grad_ptr, set_ptr, scale, order, DIMS, WIDTHS, WEIGHTS_AT, COLUMNS_AT,
                INNER, LAYERS, FEATURES,
            )  # fmt: skip
            value = sums[order]
            total, offsets = no_tiles(), no_tiles()
            for layer in tl.static_range(INNER, LAYERS):
                grad = tl.where(length > 0, grads[LAYERS - layer - 1], 0.0)
                total += (weights[layer - INNER] + value[:, None] * grad[None, :],)
                offsets += (biases[layer - INNER] + length * grad,)
                if layer + 1 < LAYERS:
                    value = linear_sums(
                        value, set_ptr, length, layer, DIMS, WIDTHS, WEIGHTS_AT, BIAS
                    )
            weights, biases = total, offsets
        for layer in tl.static_range(INNER, LAYERS):
            at = number * SET_WIDTH + WEIGHTS_AT[layer]
            _store_weights(
                grad_params_ptr + at, weights[layer - INNER], is_valid, DIMS[layer],
                DIMS[layer + 1], WIDTHS[layer], WIDTHS[layer + 1],
            )  # fmt: skip
            if BIAS:
                _store_row(
                    grad_params_ptr + at + DIMS[layer] * DIMS[layer + 1], biases[layer - INNER],
                    is_valid, DIMS[layer + 1], WIDTHS[layer + 1],
                )  # fmt: skip
