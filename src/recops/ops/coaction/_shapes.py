"""Checks of the options and shapes of co-action in composites, with the kernels' messages."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from recops._checks import INT32_MAX
from recops.ops._shapes import check_between, check_dim, check_numel, check_shape
from recops.state.coaction import CoactionOptions

_MOST_LAYERS, _MOST_DIM, _MOST_ORDERS = 64, 1 << 16, 1 << 10
"""Limits far above practical networks."""


def check_net(op: str, dims: Sequence[int], options: CoactionOptions) -> None:
    """Check the dims and the orders of a network."""
    if not 2 <= len(dims) <= _MOST_LAYERS + 1:
        raise ValueError(
            f"{op}: dims must name what is fed and from 1 to {_MOST_LAYERS} layers, "
            f"got {len(dims)} numbers"
        )
    for size in dims:
        check_between(op, "dims", size, 1, _MOST_DIM)
    check_between(op, "orders", options.orders, 1, _MOST_ORDERS)


def check_rows(op: str, name: str, rows: Tensor, width: int) -> None:
    """Check that a tensor is a matrix of this width."""
    check_dim(op, name, rows, 2)
    check_shape(op, name, rows, len(rows), width)


def check_pair(
    op: str, feed: Tensor, params: Tensor, dims: Sequence[int], options: CoactionOptions
) -> None:
    """Check the network, the feed and the parameters of one pair."""
    check_net(op, dims, options)
    check_dim(op, "feed", feed, 3)
    check_shape(op, "feed", feed, *feed.shape[:2], dims[0])
    check_rows(op, "params", params, options.params_width(dims))


def check_users(op: str, users: int, candidates: int, options: CoactionOptions) -> None:
    """Check the sizes of lengths and feed_index, and the number of users."""
    if users > INT32_MAX:
        raise ValueError(f"{op}: histories must be of at most {INT32_MAX} users, got {users}")
    if options.lengths is not None:
        check_numel(op, "lengths", options.lengths, users)
    if options.feed_index is not None:
        check_numel(op, "feed_index", options.feed_index, candidates)
    elif users != candidates:
        raise ValueError(
            f"{op}: params must have a row for each of {users} users without feed_index, "
            f"got {candidates}"
        )
