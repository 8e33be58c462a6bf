"""Composites of co-action: the reference, and its gradients by autograd.

All are much slower than a dedicated kernel: the hidden values ``[B, T, d]`` of every layer and
order go through memory, and shared histories and table rows are copied per candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from recops._debug import checks_data
from recops._dtypes import widened
from recops.ops._composite import check_range, sum_by_row, vector_jacobian
from recops.ops._shapes import check_shape
from recops.ops.coaction._shapes import check_net, check_pair, check_rows, check_users
from recops.reference.coaction import coaction as reference
from recops.state.coaction import CoactionOptions


def coaction(feed: Tensor, params: Tensor, dims: Sequence[int], *options: Any) -> Tensor:
    """Compute ``recops::coaction``."""
    settings = CoactionOptions(*options)
    check_one("coaction", feed, params, dims, settings)
    return reference(feed, params, dims, **settings._asdict())


def coaction_backward(
    grad: Tensor, feed: Tensor, params: Tensor, dims: Sequence[int], *options: Any
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of feed and params. Recomputes the forward pass."""
    settings = CoactionOptions(*options)
    check_one("coaction_backward", feed, params, dims, settings)
    grad_feed, grad_params = _gradients(grad, feed, params, dims, settings)
    return grad_feed.to(feed.dtype), grad_params.to(params.dtype)


def coaction_multi(
    feeds: Sequence[Tensor],
    params: Sequence[Tensor],
    dims: Sequence[int],
    depths: Sequence[int],
    *options: Any,
) -> Tensor:
    """Compute ``recops::coaction_multi``, pair by pair."""
    settings = CoactionOptions(*options)
    pair_dims = check_multi("coaction_multi", feeds, params, dims, depths, settings)
    outputs = [
        reference(feed, rows, layers, **settings._asdict())
        for feed, rows, layers in zip(feeds, params, pair_dims, strict=True)
    ]
    return torch.cat(outputs, 1)


def coaction_multi_backward(
    grad: Tensor,
    feeds: Sequence[Tensor],
    params: Sequence[Tensor],
    dims: Sequence[int],
    depths: Sequence[int],
    *options: Any,
) -> list[Tensor]:
    """Compute the gradients of all feeds, then of all params."""
    settings = CoactionOptions(*options)
    pair_dims = check_multi("coaction_multi_backward", feeds, params, dims, depths, settings)
    columns = grad.split([settings.output_width(layers) for layers in pair_dims], 1)
    grads = [
        _gradients(part, feed, rows, layers, settings)
        for part, feed, rows, layers in zip(columns, feeds, params, pair_dims, strict=True)
    ]
    return [
        *(of_feed.to(feed.dtype) for (of_feed, _), feed in zip(grads, feeds, strict=True)),
        *(of_params.to(rows.dtype) for (_, of_params), rows in zip(grads, params, strict=True)),
    ]


def coaction_gather(
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    sparse: bool,
    *options: Any,
) -> Tensor:
    """Compute ``recops::coaction_gather``. ``sparse`` affects only the gradients."""
    settings = CoactionOptions(*options)
    tables = (feed_table, history, params_table, targets)
    feed, params, _ = _look_up("coaction_gather", *tables, dims, settings)
    return reference(feed, params, dims, **settings._asdict())


def coaction_gather_backward(
    grad: Tensor,
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    *options: Any,
) -> tuple[Tensor, Tensor]:
    """Compute the dense gradients of both tables. Sorts all occurrences of rows."""
    settings = CoactionOptions(*options)
    tables = (feed_table, history, params_table, targets)
    feed, params, rows = _look_up("coaction_gather_backward", *tables, dims, settings)
    grad_feed, grad_params = _gradients(grad, feed, params, dims, settings)
    of_feed = sum_by_row(grad_feed.flatten(0, 1), rows.flatten(), len(feed_table))
    of_params = sum_by_row(grad_params, targets, len(params_table))
    return of_feed.to(feed_table.dtype), of_params.to(params_table.dtype)


def coaction_gather_backward_sparse(
    grad: Tensor,
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    *options: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute the gradients of the table rows that occur, and the numbers of these rows."""
    settings = CoactionOptions(*options)
    tables = (feed_table, history, params_table, targets)
    feed, params, rows = _look_up("coaction_gather_backward_sparse", *tables, dims, settings)
    grad_feed, grad_params = _gradients(grad, feed, params, dims, settings)
    is_event = rows.flatten() >= 0
    feed_ids, of_feed = _sums_of_occurring(
        grad_feed.flatten(0, 1)[is_event], rows.flatten()[is_event]
    )
    params_ids, of_params = _sums_of_occurring(grad_params, targets.long())
    return feed_ids, of_feed.to(feed_table.dtype), params_ids, of_params.to(params_table.dtype)


def _gradients(
    grad: Tensor, feed: Tensor, params: Tensor, dims: Sequence[int], settings: CoactionOptions
) -> tuple[Tensor, Tensor]:
    """Return the gradients of feed and params in the dtype of computation."""
    feed, params, index = widened(feed), widened(params), settings.feed_index
    fed, inner = feed, settings
    if index is not None:
        lengths = None if settings.lengths is None else settings.lengths[index.long()]
        fed, inner = feed[index.long()], settings._replace(lengths=lengths, feed_index=None)
    grad_feed, grad_params = vector_jacobian(
        lambda feed, params: [reference(feed, params, dims, **inner._asdict())],
        [fed, params],
        [grad.to(feed.dtype)],
    )
    if index is not None:
        grad_feed = sum_by_row(grad_feed.flatten(1), index, len(feed)).view(feed.shape)
    return grad_feed, grad_params


def _look_up(
    op: str,
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    settings: CoactionOptions,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the feed, the params and the table row of each event, −1 past the lengths."""
    check_tables(op, feed_table, history, params_table, targets, dims, settings)
    rows = event_rows(history, settings.lengths)
    users, steps = history.shape
    if len(feed_table) == 0:
        feed = feed_table.new_zeros((users, steps, feed_table.shape[1]))
    else:
        feed = feed_table[rows.clamp(min=0)]
    return feed, params_table[targets.long()], rows


def event_rows(history: Tensor, lengths: Tensor | None, *, padding: int = -1) -> Tensor:
    """Return the table row of each event, and ``padding`` past the lengths."""
    rows = history.long()
    if lengths is None:
        return rows
    is_event = torch.arange(history.shape[1], device=rows.device) < lengths[:, None]
    return rows.where(is_event, padding)


def check_tables(
    op: str,
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    settings: CoactionOptions,
) -> None:
    """Check the inputs of a gather."""
    check_net(op, dims, settings)
    check_rows(op, "feed_table", feed_table, dims[0])
    check_rows(op, "params_table", params_table, settings.params_width(dims))
    check_range(op, "targets", targets, 0, len(params_table) - 1)
    _check_users(op, history, len(targets), settings)
    if checks_data(history):
        rows = event_rows(history, settings.lengths, padding=0)
        has_padding = settings.lengths is not None
        check_range(op, "history", rows, 0, max(len(feed_table) - 1, 0 if has_padding else -1))


def _sums_of_occurring(values: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows that occur, in ascending order, and the sums of their values."""
    ids, position = rows.unique(return_inverse=True)
    return ids, sum_by_row(values, position, len(ids))


def check_one(
    op: str, feed: Tensor, params: Tensor, dims: Sequence[int], settings: CoactionOptions
) -> None:
    """Check the inputs of one network."""
    check_pair(op, feed, params, dims, settings)
    _check_users(op, feed, len(params), settings)


def check_multi(
    op: str,
    feeds: Sequence[Tensor],
    params: Sequence[Tensor],
    dims: Sequence[int],
    depths: Sequence[int],
    settings: CoactionOptions,
) -> list[Sequence[int]]:
    """Check the pairs, lengths and feed_index, and return the dims of each pair."""
    counts = len(feeds), len(params), len(depths)
    if not feeds or len({*counts}) > 1 or sum(depths) != len(dims):
        raise ValueError(
            f"{op}: feeds, params and dims must describe the same pairs, at least one, "
            f"got {counts[0]}, {counts[1]} and {counts[2]}"
        )
    pair_dims = [dims[begin:end] for begin, end in pairwise(accumulate(depths, initial=0))]
    for feed, rows, layers in zip(feeds, params, pair_dims, strict=True):
        check_pair(op, feed, rows, layers, settings)
        check_shape(op, "feed", feed, *feeds[0].shape[:2], layers[0])
        check_shape(op, "params", rows, len(params[0]), rows.shape[1])
    _check_users(op, feeds[0], len(params[0]), settings)
    return pair_dims


def _check_users(op: str, histories: Tensor, candidates: int, settings: CoactionOptions) -> None:
    """Check lengths and feed_index against histories ``[U, T, …]``."""
    users, steps = histories.shape[:2]
    check_users(op, users, candidates, settings)
    if settings.feed_index is not None:
        check_range(op, "feed_index", settings.feed_index, 0, users - 1)
    if settings.lengths is not None:
        check_range(op, "lengths", settings.lengths, 0, steps, error=ValueError)
