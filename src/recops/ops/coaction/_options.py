"""Options and argument checks that the co-action functions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, get_args

import torch
from torch import Tensor

from recops._checks import (
    FLOATS,
    INDICES,
    INT32_MAX,
    check_choice,
    check_flag,
    check_integer,
    check_sizes,
    check_tensor,
)
from recops._dtypes import parameter_dtypes
from recops.state.coaction import Activation, CoactionOptions, Pool

_ACTIVATIONS, _POOLS = get_args(Activation), get_args(Pool)

_MAX_ORDERS = 1024
"""Largest order. Higher powers are useless: 1.1 to the power of 931 overflows float32."""


def check_options(op: str, options: CoactionOptions) -> None:
    """Check the options that do not depend on the tensors.

    Raises:
        TypeError: an option has another type.
        ValueError: an option is out of range.
    """
    check_integer(op, "orders", options.orders, least=1, most=_MAX_ORDERS)
    check_flag(op, "bias", options.bias)
    check_flag(op, "activate_last", options.activate_last)
    check_flag(op, "concat_hidden", options.concat_hidden)
    check_flag(op, "order_independent", options.order_independent)
    check_choice(op, "activation", options.activation, _ACTIVATIONS)
    check_choice(op, "pool", options.pool, _POOLS)


def check_dims(op: str, name: str, dims: Sequence[int]) -> list[int]:
    """Return ``dims`` as a list of at least two positive sizes."""
    sizes = check_sizes(op, name, dims)
    if len(sizes) < 2:
        raise ValueError(
            f"{op}: {name} must be the feed width and at least one layer width, got {tuple(sizes)}"
        )
    return sizes


def check_users(
    op: str, options: CoactionOptions, users: int, candidates: int, device: torch.device, rows: str
) -> None:
    """Check that lengths and feed_index match the numbers of users and candidates."""
    if options.lengths is not None:
        check_tensor(op, "lengths", options.lengths, ndim=1, dtypes=INDICES, device=device)
        if options.lengths.shape[0] != users:
            raise ValueError(
                f"{op}: lengths must have {users} entries, one per user, "
                f"got {options.lengths.shape[0]}"
            )
    if options.feed_index is not None:
        check_tensor(op, "feed_index", options.feed_index, ndim=1, dtypes=INDICES, device=device)
        if options.feed_index.shape[0] != candidates:
            raise ValueError(
                f"{op}: feed_index must have {candidates} entries, one per row of {rows}, "
                f"got {options.feed_index.shape[0]}"
            )
    elif users != candidates:
        raise ValueError(
            f"{op}: without feed_index, {rows} must have a row for each of the {users} users, "
            f"got {candidates}"
        )


def check_params(
    op: str, name: str, params: Tensor, dims: Sequence[int], options: CoactionOptions, feed: Tensor
) -> None:
    """Check that the parameter rows have the width for ``dims`` and a dtype that matches feed."""
    dtypes = parameter_dtypes(feed)
    check_tensor(op, name, params, ndim=2, dtypes=dtypes, device=feed.device)
    width = options.params_width(dims)
    if max(width, options.output_width(dims)) > INT32_MAX:
        raise ValueError(
            f"{op}: dims and orders must make rows of at most {INT32_MAX} numbers, "
            f"got {tuple(dims)} and {options.orders}"
        )
    if params.shape[1] != width:
        raise ValueError(
            f"{op}: {name} must have {width} columns for dims {tuple(dims)}, got {params.shape[1]}"
        )


def check_feed(op: str, name: str, feed: Tensor, ndim: int, width: int) -> None:
    """Check that ``feed`` is floating point and has ``width`` columns."""
    check_tensor(op, name, feed, ndim=ndim, dtypes=FLOATS)
    if feed.shape[-1] != width:
        raise ValueError(f"{op}: {name} must have {width} columns, dims[0], got {feed.shape[-1]}")


def save_call(ctx: Any, tensors: Sequence[Tensor], options: Sequence[Any]) -> None:
    """Store the tensors and the options of a call in ``ctx``."""
    record = CoactionOptions(*options)
    ctx.save_for_backward(record.lengths, record.feed_index, *tensors)
    ctx.options = record._replace(lengths=None, feed_index=None)


def saved_call(ctx: Any) -> tuple[list[Tensor], CoactionOptions]:
    """Return the tensors and the options that :func:`save_call` stored."""
    lengths, feed_index, *tensors = ctx.saved_tensors
    return tensors, ctx.options._replace(lengths=lengths, feed_index=feed_index)


def no_gradients(others: int) -> tuple[None, ...]:
    """Return the gradients of the options and of ``others`` inputs: None for each."""
    return (None,) * (others + len(CoactionOptions._fields))


Inputs: TypeAlias = tuple[Any, ...]
