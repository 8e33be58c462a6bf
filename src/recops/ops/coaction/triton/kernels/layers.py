"""Layers of a candidate's network on tiles of events, and its activations."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.runtime.interpreter import InterpretedFunction

from recops.ops.coaction.triton.kernels.candidate import no_tiles, row_tile, weight_tile, zero_tile

_SELU_SCALE = tl.constexpr(1.0507009873554805)
_SELU_PRODUCT = tl.constexpr(1.0507009873554805 * 1.6732632423543772)
_TANH_LIMIT = tl.constexpr(9.02)
"""float32 tanh is 1 from here on."""


@triton.jit
def _reciprocal(x):
    """Return 1 / x for x from 1 to 2^126, with a relative error of 2^-23.

    The division of Triton also handles other values, and takes eight instructions.
    """
    if _IS_INTERPRETED:
        result = 1 / x
    else:
        result = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return result


_IS_INTERPRETED = tl.constexpr(isinstance(_reciprocal, InterpretedFunction))


@triton.jit
def _tanh(x):
    """Return tanh with a relative error of 4e-7, also near 0; NaN stays NaN.

    The quotient of polynomials is that of the CPU kernel (csrc/simd/tanh-inl.h).
    """
    x = tl.clamp(x, -_TANH_LIMIT, _TANH_LIMIT, propagate_nan=tl.PropagateNan.ALL)
    z = x * x
    p = z * 1.33186391577235e-08 + 2.0583161405448698e-05
    p = p * z + 0.0034940150651010947
    p = p * z + 0.13379701607974262
    p = p * z + 0.9999999790544769
    q = z * 7.761839682706497e-07 + 0.0003283060937513212
    q = q * z + 0.02587099922995393
    q = q * z + 0.46713016861500856
    q = q * z + 1.0
    return x * p * _reciprocal(q)


@triton.jit
def activate(x, ACTIVATION: tl.constexpr):
    """Return the activation of values; 0 maps to 0."""
    if ACTIVATION == "tanh":
        result = _tanh(x)
    elif ACTIVATION == "selu":
        # e^x − 1 = 2t / (1 − t) with t = tanh(x/2), which does not cancel near 0.
        t = _tanh(tl.where(x > 0, 0.0, x) * 0.5)
        result = tl.where(x > 0, x * _SELU_SCALE, t * (2 * _SELU_PRODUCT) / (1 - t))
    else:
        result = tl.where(x <= 0, 0.0, x)  # NaN stays NaN
    return result


@triton.jit
def derivative(h, ACTIVATION: tl.constexpr):
    """Return the derivative of the activation from its result."""
    if ACTIVATION == "tanh":
        result = 1 - h * h
    elif ACTIVATION == "selu":
        result = tl.where(h > 0, _SELU_SCALE, h + _SELU_PRODUCT)
    else:
        result = tl.where(h > 0, 1.0, 0.0)
    return result


@triton.jit
def is_value(is_event, DIM: tl.constexpr, WIDTH: tl.constexpr):
    """Return the mask of a tile: events below the length, and columns of the layer."""
    return is_event[:, None] & (tl.arange(0, WIDTH) < DIM)[None, :]


@triton.jit
def hidden_tiles(
    power,
    weights,
    biases,
    is_event,
    NUMBER: tl.constexpr,
    DIMS: tl.constexpr,
    WIDTHS: tl.constexpr,
    INNER: tl.constexpr,
    BIAS: tl.constexpr,
    ACTIVATION: tl.constexpr,
):
    """Return the inputs and the results of all layers with an activation, zero past the length.

    A product of padding and infinite weights is NaN, so every layer is masked.
    """
    tiles = no_tiles()
    tiles += (power,)
    for layer in tl.static_range(INNER):
        value = tl.dot(tiles[layer], weights[NUMBER * INNER + layer], input_precision="ieee")
        if BIAS:
            value = value + biases[NUMBER * INNER + layer][None, :]
        mask = is_value(is_event, DIMS[layer + 1], WIDTHS[layer + 1])
        tiles += (activate(tl.where(mask, value, 0.0), ACTIVATION),)
    return tiles


@triton.jit
def linear_sums(
    value,
    set_ptr,
    length,
    LAYER: tl.constexpr,
    DIMS: tl.constexpr,
    WIDTHS: tl.constexpr,
    WEIGHTS_AT: tl.constexpr,
    BIAS: tl.constexpr,
):
    """Return the sums of a layer without activation from those of its input; 0 without events."""
    weight = weight_tile(
        set_ptr + WEIGHTS_AT[LAYER], DIMS[LAYER], DIMS[LAYER + 1], WIDTHS[LAYER], WIDTHS[LAYER + 1]
    )
    value = tl.sum(value[:, None] * weight, 0)
    if BIAS:
        bias_ptr = set_ptr + WEIGHTS_AT[LAYER] + DIMS[LAYER] * DIMS[LAYER + 1]
        value += length * row_tile(bias_ptr, DIMS[LAYER + 1], WIDTHS[LAYER + 1])
    # Infinite weights times padding, or times an empty sum, are NaN.
    is_sum = (tl.arange(0, WIDTHS[LAYER + 1]) < DIMS[LAYER + 1]) & (length > 0)
    return tl.where(is_sum, value, 0.0)


@triton.jit
def reduced(tiles, COUNT: tl.constexpr):
    """Return the sums over events of ``COUNT`` tiles."""
    sums = no_tiles()
    for i in tl.static_range(COUNT):
        sums += (tl.sum(tiles[i], 0),)
    return sums


@triton.jit
def zero_sums(
    WIDTHS: tl.constexpr,
    ORDERS: tl.constexpr,
    FIRST: tl.constexpr,
    INNER: tl.constexpr,
    BLOCK_TIME: tl.constexpr,
):
    """Return tiles of zeros for the levels from FIRST to INNER of every order."""
    sums = no_tiles()
    for _ in tl.static_range(ORDERS):
        for level in tl.static_range(FIRST, INNER + 1):
            sums += (zero_tile(BLOCK_TIME, WIDTHS[level]),)
    return sums


@triton.jit
def replaced(values, value, INDEX: tl.constexpr):
    """Return a tuple with another value at an index."""
    result = values[:INDEX]
    result += (value,)
    result += values[INDEX + 1 :]
    return result
