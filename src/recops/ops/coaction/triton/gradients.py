"""Launchers of the backward pass of co-action.

A program writes the gradients of one candidate. Those of a user with several candidates, and of
table rows that several events or candidates use, are then summed in a fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recops.ops._composite import composite
from recops.ops._shapes import check_shape
from recops.ops._triton_device import on_device
from recops.ops.coaction.composite import check_multi, check_one, check_tables, event_rows
from recops.ops.coaction.triton.kernels.backward import coaction_backward as kernel
from recops.ops.coaction.triton.launch import NetInputs
from recops.ops.coaction.triton.net import make_net
from recops.ops.coaction.triton.table import BACKWARD, EventTiles, select
from recops.ops.embedding.triton import sum_by_row
from recops.state.coaction import CoactionOptions


def coaction_backward(
    grad: Tensor, feed: Tensor, params: Tensor, dims: Sequence[int], *options: Any
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of feed and params."""
    op = "coaction_backward"
    inputs = NetInputs(feed, params, dims, CoactionOptions(*options))
    check_one(op, feed, params, dims, inputs.options)
    if not inputs.fit():
        result: tuple[Tensor, Tensor] = composite(op)(grad, feed, params, dims, *options)
        return result
    check_shape(op, "grad", grad, inputs.candidates, inputs.options.output_width(dims))
    return _pair_gradients(inputs, grad)


def coaction_multi_backward(
    grad: Tensor,
    feeds: Sequence[Tensor],
    params: Sequence[Tensor],
    dims: Sequence[int],
    depths: Sequence[int],
    *options: Any,
) -> list[Tensor]:
    """Compute the gradients of all feeds, then of all params, with one launch per pair."""
    op = "coaction_multi_backward"
    settings = CoactionOptions(*options)
    pair_dims = check_multi(op, feeds, params, dims, depths, settings)
    pairs = [
        NetInputs(feed, rows, layers, settings)
        for feed, rows, layers in zip(feeds, params, pair_dims, strict=True)
    ]
    if not all(pair.fit() for pair in pairs):
        result: list[Tensor] = composite(op)(grad, feeds, params, dims, depths, *options)
        return result
    widths = [settings.output_width(layers) for layers in pair_dims]
    check_shape(op, "grad", grad, pairs[0].candidates, sum(widths))
    grads = [
        _pair_gradients(pair, part) for pair, part in zip(pairs, grad.split(widths, 1), strict=True)
    ]
    return [*(of_feed for of_feed, _ in grads), *(of_params for _, of_params in grads)]


def coaction_gather_backward(
    grad: Tensor,
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    *options: Any,
) -> tuple[Tensor, Tensor]:
    """Compute the dense gradients of both tables."""
    op = "coaction_gather_backward"
    tables = (feed_table, history, params_table, targets)
    inputs = _tables(op, grad, *tables, dims, CoactionOptions(*options))
    if inputs is None:
        result: tuple[Tensor, Tensor] = composite(op)(grad, *tables, dims, *options)
        return result
    of_events, of_candidates = candidate_gradients(inputs, grad, torch.float32, torch.float32)
    rows = _rows_of_events(inputs)
    return (
        sum_by_row(of_events.flatten(0, 1), rows, len(feed_table), dtype=feed_table.dtype),
        sum_by_row(of_candidates, targets, len(params_table), dtype=params_table.dtype),
    )


def coaction_gather_backward_sparse(
    grad: Tensor,
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    *options: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute the gradients of the table rows that occur, and the numbers of these rows.

    The number of rows is the size of a result, so the host waits for the device.
    """
    op = "coaction_gather_backward_sparse"
    tables = (feed_table, history, params_table, targets)
    inputs = _tables(op, grad, *tables, dims, CoactionOptions(*options))
    if inputs is None:
        result: tuple[Tensor, Tensor, Tensor, Tensor] = composite(op)(grad, *tables, dims, *options)
        return result
    of_events, of_candidates = candidate_gradients(inputs, grad, torch.float32, torch.float32)
    rows = _rows_of_events(inputs)
    return (
        *_sums_of_occurring(of_events.flatten(0, 1), rows, feed_table),
        *_sums_of_occurring(of_candidates, targets.long(), params_table),
    )


def candidate_gradients(
    inputs: NetInputs,
    grad: Tensor,
    event_dtype: torch.dtype,
    params_dtype: torch.dtype,
    launch: EventTiles | None = None,
) -> tuple[Tensor, Tensor]:
    """Return gradients per candidate: of its user's events ``[B, T, d0]``, and of its parameters.

    Args:
        inputs: inputs that fit the kernels.
        grad: ``[B, width]`` with adjacent columns, or any other strides, which are copied.
        event_dtype: dtype of the first result.
        params_dtype: dtype of the second result.
        launch: launch configuration; by default that of the table.
    """
    net = make_net(inputs.dims, inputs.options, backward=True)
    launch = launch or select(BACKWARD, net.values, net.SETS)
    grad = grad if grad.stride(1) == 1 else grad.contiguous()
    of_events = grad.new_empty((inputs.candidates, inputs.time, net.DIMS[0]), dtype=event_dtype)
    of_params = grad.new_empty((inputs.candidates, net.SETS * net.SET_WIDTH), dtype=params_dtype)
    with on_device(grad):
        kernel[(inputs.candidates,)](
            *inputs.arguments(), grad, of_events, of_params, *inputs.sizes(), grad.stride(0),
            **net._asdict(), BLOCK_TIME=launch.block_time, num_warps=launch.num_warps,
            num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip
    return of_events, of_params


def _pair_gradients(inputs: NetInputs, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of feed and params of one network."""
    feed, users = inputs.feed, inputs.options.feed_index
    dtype = feed.dtype if users is None else torch.float32
    of_events, of_params = candidate_gradients(inputs, grad, dtype, inputs.params.dtype)
    if users is None:
        return of_events, of_params
    sums = sum_by_row(of_events.flatten(1), users, inputs.users, dtype=feed.dtype)
    return sums.view(feed.shape), of_params


def _tables(
    op: str,
    grad: Tensor,
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    settings: CoactionOptions,
) -> NetInputs | None:
    """Return the checked inputs of a gather, or None if they do not fit the kernels."""
    check_tables(op, feed_table, history, params_table, targets, dims, settings)
    inputs = NetInputs(feed_table, params_table, dims, settings, history, targets)
    if not inputs.fit():
        return None
    check_shape(op, "grad", grad, inputs.candidates, settings.output_width(dims))
    return inputs


def _rows_of_events(inputs: NetInputs) -> Tensor:
    """Return the table row of each candidate's events ``[B · T]``, −1 past the lengths."""
    assert inputs.history is not None
    rows, users = event_rows(inputs.history, inputs.options.lengths), inputs.options.feed_index
    if users is not None:
        is_user = (users >= 0) & (users < len(rows))
        rows = rows[users.long().clamp(0, len(rows) - 1)].where(is_user[:, None], -1)
    return rows.flatten()


def _sums_of_occurring(values: Tensor, rows: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows that occur, in ascending order, and the sums of their values."""
    is_row = (rows >= 0) & (rows < len(table))
    values, rows = values[is_row], rows[is_row]
    ids, position = rows.unique(return_inverse=True)
    return ids, sum_by_row(values, position, len(ids), dtype=table.dtype)
