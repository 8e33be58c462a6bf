"""Co-action of many pairs of features in one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from recops._checks import check_list, check_tuple
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._autograd import refuse_derivative, register_autograd
from recops.ops.coaction._options import (
    Inputs,
    check_dims,
    check_feed,
    check_options,
    check_params,
    check_users,
    no_gradients,
    save_call,
    saved_call,
)
from recops.state.coaction import Activation, CoactionOptions, Pool

__all__ = ["coaction_multi"]


def coaction_multi(
    pairs: Iterable[tuple[Tensor, Tensor, Sequence[int]]],
    *,
    orders: int = 1,
    lengths: Tensor | None = None,
    feed_index: Tensor | None = None,
    bias: bool = False,
    activation: Activation = "tanh",
    activate_last: bool = False,
    concat_hidden: bool = True,
    pool: Pool = "sum",
    order_independent: bool = False,
) -> list[Tensor]:
    """Compute ``[coaction(feed, params, dims, …) for feed, params, dims in pairs]`` in one call.

    All pairs have the same users and candidates: all feeds are ``[U, …]``, all params ``[B, …]``,
    and ``feed_index`` applies to all. Pairs with the same T form a group. Candidates are sorted
    once per group, and threads share both pairs and candidates.

    Args:
        pairs: ``(feed, params, dims)`` as in :func:`recops.coaction`; all feeds have one dtype.
        orders: this and all following arguments are as in :func:`recops.coaction`.
        lengths: ``[U]``, the lengths of the histories, which must then have the same T. A feed with
            T = 1 is then a feature that is not a sequence; it is read even if the length is 0.

    Returns:
        One result for each pair, as in :func:`recops.coaction`. Results with the same T are columns
        of one matrix ``[B, Σ widths]``.

    Raises:
        TypeError, ValueError, IndexError: as in :func:`recops.coaction`; or there are no pairs.

    Time is the sum over the pairs of the time of :func:`recops.coaction`, plus O(B + U) for each T
    to sort the candidates. Extra memory is O(B + U) and that of the largest pair.

    Source: this library. Published production systems have 48 to 90 pairs per request.

    Examples:
        >>> items = (torch.ones(4, 100, 16), torch.zeros(4, 160), (16, 8, 4))
        >>> categories = (torch.ones(4, 100, 4), torch.zeros(4, 8), (4, 2))
        >>> [out.shape for out in recops.coaction_multi([items, categories], orders=3)]
        [torch.Size([4, 36]), torch.Size([4, 6])]
    """
    op = "coaction_multi"
    options = CoactionOptions(
        orders,
        lengths,
        feed_index,
        bias,
        activation,
        activate_last,
        concat_hidden,
        pool,
        order_independent,
    )
    check_options(op, options)
    feeds, params, sizes = _check_pairs(op, check_list(op, "pairs", pairs), options)
    check_users(op, options, feeds[0].shape[0], params[0].shape[0], feeds[0].device, "params")
    outputs: dict[int, Tensor] = {}
    for group in _group_by_steps(feeds):
        dims = [sizes[p] for p in group]
        group_options = options
        if options.lengths is not None and feeds[group[0]].shape[1] != _steps_of_history(feeds):
            group_options = options._replace(lengths=None)
        out = ops.coaction_multi(
            [feeds[p] for p in group],
            [params[p] for p in group],
            [size for layers in dims for size in layers],
            [len(layers) for layers in dims],
            *group_options,
        )
        columns = out.split([options.output_width(layers) for layers in dims], 1)
        outputs.update(zip(group, columns, strict=True))
    return [outputs[p] for p in range(len(feeds))]


def _group_by_steps(feeds: list[Tensor]) -> list[list[int]]:
    """Group the indices of the feeds by T."""
    groups: list[list[int]] = []
    for p, feed in enumerate(feeds):
        for group in groups:  # T may be symbolic, so it cannot be a dict key.
            if feeds[group[0]].shape[1] == feed.shape[1]:
                group.append(p)
                break
        else:
            groups.append([p])
    return groups


def _steps_of_history(feeds: list[Tensor]) -> int:
    """Return the T that lengths refer to: that of the first sequence, or 1 if there is none."""
    return next((feed.shape[1] for feed in feeds if feed.shape[1] != 1), 1)


def _check_pairs(
    op: str, pairs: list[tuple[Tensor, Tensor, Sequence[int]]], options: CoactionOptions
) -> tuple[list[Tensor], list[Tensor], list[list[int]]]:
    """Return feeds, params and dims, and check that all agree with those of the first pair."""
    if not pairs:
        raise ValueError(f"{op}: pairs must hold at least one pair, got none")
    for p, pair in enumerate(pairs):
        check_tuple(op, f"pairs[{p}]", pair, ("feed", "params", "dims"))
    feeds = [feed for feed, _, _ in pairs]
    params = [row for _, row, _ in pairs]
    sizes = [check_dims(op, f"pairs[{p}]: dims", dims) for p, (_, _, dims) in enumerate(pairs)]
    for p, (feed, row, dims) in enumerate(zip(feeds, params, sizes, strict=True)):
        check_feed(op, f"pairs[{p}]: feed", feed, 3, dims[0])
        if feed.dtype != feeds[0].dtype or feed.device != feeds[0].device:
            raise TypeError(
                f"{op}: pairs[{p}]: feed must be of the first's dtype and device, {feeds[0].dtype} "
                f"on {feeds[0].device}, got {feed.dtype} on {feed.device}"
            )
        if feed.shape[0] != feeds[0].shape[0]:
            raise ValueError(
                f"{op}: pairs[{p}]: feed must have {feeds[0].shape[0]} rows as the first has, "
                f"got {feed.shape[0]}"
            )
        check_params(op, f"pairs[{p}]: params", row, dims, options, feed)
        if row.shape[0] != params[0].shape[0]:
            raise ValueError(
                f"{op}: pairs[{p}]: params must have {params[0].shape[0]} rows as the first has, "
                f"got {row.shape[0]}"
            )
    if options.lengths is not None:
        steps = _steps_of_history(feeds)
        for p, feed in enumerate(feeds):
            if feed.shape[1] != steps and feed.shape[1] != 1:
                raise ValueError(
                    f"{op}: pairs[{p}]: feed must have T = {steps} or 1 with lengths, "
                    f"got shape {tuple(feed.shape)}"
                )
    return feeds, params, sizes


def _fake_multi(
    feeds: list[Tensor], params: list[Tensor], dims: list[int], depths: list[int], *options: Any
) -> Tensor:
    bounds = pairwise(accumulate(depths, initial=0))
    width = sum(CoactionOptions(*options).output_width(dims[begin:end]) for begin, end in bounds)
    return feeds[0].new_empty((params[0].shape[0], width))


def _fake_backward(
    grad: Tensor, feeds: list[Tensor], params: list[Tensor], *options: Any
) -> list[Tensor]:
    return [value.new_empty(value.shape) for value in [*feeds, *params]]


def _save(ctx: Any, inputs: Inputs, output: Tensor) -> None:
    feeds, params, ctx.dims, ctx.depths, *options = inputs
    save_call(ctx, (*feeds, *params), options)


def _grad(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    rows, options = saved_call(ctx)
    pairs = len(ctx.depths)
    grads = ops.coaction_multi_backward(
        grad, rows[:pairs], rows[pairs:], ctx.dims, ctx.depths, *options
    )
    return grads[:pairs], grads[pairs:], *no_gradients(2)


torch.library.register_fake("recops::coaction_multi", _fake_multi)
torch.library.register_fake("recops::coaction_multi_backward", _fake_backward)
register_autograd("coaction_multi", _grad, _save)
refuse_derivative("coaction_multi_backward", "co-action has")
autocast_to_float32("coaction_multi")
