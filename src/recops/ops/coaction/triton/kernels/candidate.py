"""Inputs of one candidate: its user and parameters, and tiles of its history and weights."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _find_candidate(lengths_ptr, users_ptr, targets_ptr, num_users, params_rows, time):
    """Return the user, the length, the row of parameters, and whether all are in range.

    A candidate with a value out of range has length 0 and user 0.
    """
    candidate = tl.program_id(0).to(tl.int64)
    user = candidate
    if users_ptr is not None:
        user = tl.load(users_ptr + candidate).to(tl.int64)
    row = candidate
    if targets_ptr is not None:
        row = tl.load(targets_ptr + candidate).to(tl.int64)
    is_valid = (user >= 0) & (user < num_users) & (row >= 0) & (row < params_rows)
    user = tl.where(is_valid, user, 0)
    length = time
    if lengths_ptr is not None:
        length = tl.load(lengths_ptr + user, mask=is_valid, other=0).to(tl.int32)
    is_valid = is_valid & (length >= 0) & (length <= time)
    return user, tl.where(is_valid, length, 0), tl.where(is_valid, row, 0), is_valid


@triton.jit
def feed_tile(
    feed_ptr, history_ptr, user, steps, is_event, time, feed_rows,
    DIM: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Return the vectors of a user's events, zero past the length.

    A row of the history outside the table gives NaN, which reaches the candidate's result.
    """
    columns = tl.arange(0, WIDTH)
    rows = user * time + steps
    is_read = is_event
    if history_ptr is not None:
        rows = tl.load(history_ptr + rows, mask=is_event, other=0).to(tl.int64)
        is_read = is_event & (rows >= 0) & (rows < feed_rows)
    mask = is_read[:, None] & (columns < DIM)[None, :]
    tile = tl.load(feed_ptr + rows[:, None] * DIM + columns[None, :], mask=mask, other=0.0)
    tile = tile.to(tl.float32)
    if history_ptr is not None:
        tile = tl.where((is_event & ~is_read)[:, None], float("nan"), tile)
    return tile


@triton.jit
def weight_tile(
    params_ptr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUT_WIDTH: tl.constexpr,
    OUTPUT_WIDTH: tl.constexpr,
):
    """Return the weights ``[INPUTS, OUTPUTS]`` at a pointer, padded by zeros."""
    rows = tl.arange(0, INPUT_WIDTH)[:, None]
    columns = tl.arange(0, OUTPUT_WIDTH)[None, :]
    mask = (rows < INPUTS) & (columns < OUTPUTS)
    return tl.load(params_ptr + rows * OUTPUTS + columns, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def row_tile(ptr, SIZE: tl.constexpr, WIDTH: tl.constexpr):
    """Return ``SIZE`` values at a pointer, padded by zeros."""
    columns = tl.arange(0, WIDTH)
    return tl.load(ptr + columns, mask=columns < SIZE, other=0.0).to(tl.float32)


@triton.jit
def no_tiles():
    """Return an empty tuple, to which unrolled loops add tiles."""
    return ()


@triton.jit
def zero_row(WIDTH: tl.constexpr):
    """Return zeros ``[WIDTH]``."""
    return tl.zeros([WIDTH], tl.float32)


@triton.jit
def zero_tile(ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Return zeros ``[ROWS, WIDTH]``."""
    return tl.zeros([ROWS, WIDTH], tl.float32)


@triton.jit
def _inner_layers(
    params_ptr, DIMS: tl.constexpr, WIDTHS: tl.constexpr, WEIGHTS_AT: tl.constexpr,
    INNER: tl.constexpr, SETS: tl.constexpr, SET_WIDTH: tl.constexpr, BIAS: tl.constexpr,
):  # fmt: skip
    """Return weights and biases of the layers that run at every event, set by set."""
    weights, biases = no_tiles(), no_tiles()
    for number in tl.static_range(SETS):
        for layer in tl.static_range(INNER):
            at = number * SET_WIDTH + WEIGHTS_AT[layer]
            weights += (
                weight_tile(
                    params_ptr + at, DIMS[layer], DIMS[layer + 1], WIDTHS[layer], WIDTHS[layer + 1]
                ),
            )
            if BIAS:
                at += DIMS[layer] * DIMS[layer + 1]
                biases += (row_tile(params_ptr + at, DIMS[layer + 1], WIDTHS[layer + 1]),)
    return weights, biases


@triton.jit
def load_candidate(
    lengths_ptr, users_ptr, targets_ptr, params_ptr, num_users, params_rows, time,
    DIMS: tl.constexpr, WIDTHS: tl.constexpr, WEIGHTS_AT: tl.constexpr, INNER: tl.constexpr,
    SETS: tl.constexpr, SET_WIDTH: tl.constexpr, BIAS: tl.constexpr, MEAN: tl.constexpr,
):  # fmt: skip
    """Return what both passes need of a candidate.

    Returns:
        The user, the length, whether all indices are in range, a pointer to the parameters, the
        weights and the biases of the layers that run at every event, and the factor of sums.
    """
    user, length, row, is_valid = _find_candidate(
        lengths_ptr, users_ptr, targets_ptr, num_users, params_rows, time
    )
    params_ptr += row * (SETS * SET_WIDTH)
    weights, biases = _inner_layers(
        params_ptr, DIMS, WIDTHS, WEIGHTS_AT, INNER, SETS, SET_WIDTH, BIAS
    )
    scale = 1.0
    if MEAN:
        scale = 1.0 / tl.maximum(length, 1).to(tl.float32)
    return user, length, is_valid, params_ptr, weights, biases, scale
