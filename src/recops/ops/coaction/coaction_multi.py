"""Co-action of many pairs of features in one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from recops._checks import check_list, check_tuple
from recops._load import ops
from recops.ops._autograd import register_autograd
from recops.ops.coaction._options import (
    Activation,
    Inputs,
    Options,
    Pool,
    check_dims,
    check_feed,
    check_options,
    check_params,
    check_users,
    no_gradients,
)

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
    """``[coaction(feed, params, dims, …) for feed, params, dims in pairs]`` in one call.

    The pairs are of the same users and candidates: all feeds are ``[U, T, …]``, all params
    ``[B, …]``, and ``lengths`` and ``feed_index`` hold for all. So candidates are put in order
    once, and threads share out pairs and candidates alike.

    Args:
        pairs: ``(feed, params, dims)`` as :func:`recops.coaction` takes them; feeds of one dtype.
        orders: with all that follows, as of :func:`recops.coaction`.

    Returns:
        A result for each pair, as :func:`recops.coaction` gives it. They are columns of one matrix,
        ``[B, Σ widths]``.

    Raises:
        TypeError, ValueError, IndexError: as :func:`recops.coaction`; no pairs.

    Source: the co-action unit in production, Bian et al. 2022, §5: 48 to 90 pairs a request.
    """
    op = "coaction_multi"
    options = Options(
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
    depths = [len(dims) for dims in sizes]
    out = ops.coaction_multi(feeds, params, [d for dims in sizes for d in dims], depths, *options)
    return list(out.split([options.output_width(dims) for dims in sizes], 1))


def _check_pairs(
    op: str, pairs: list[tuple[Tensor, Tensor, Sequence[int]]], options: Options
) -> tuple[list[Tensor], list[Tensor], list[list[int]]]:
    """Feeds, params and dims, each checked and as its first says."""
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
        if feed.shape[:2] != feeds[0].shape[:2]:
            raise ValueError(
                f"{op}: pairs[{p}]: feed must be [{feeds[0].shape[0]}, {feeds[0].shape[1]}, …] as "
                f"the first is, got shape {tuple(feed.shape)}"
            )
        check_params(op, f"pairs[{p}]: params", row, dims, options, feed)
        if row.shape[0] != params[0].shape[0]:
            raise ValueError(
                f"{op}: pairs[{p}]: params must have {params[0].shape[0]} rows as the first has, "
                f"got {row.shape[0]}"
            )
    return feeds, params, sizes


def _fake_multi(
    feeds: list[Tensor], params: list[Tensor], dims: list[int], depths: list[int], *options: Any
) -> Tensor:
    bounds = pairwise(accumulate(depths, initial=0))
    width = sum(Options(*options).output_width(dims[begin:end]) for begin, end in bounds)
    return feeds[0].new_empty((params[0].shape[0], width))


def _fake_backward(
    grad: Tensor, feeds: list[Tensor], params: list[Tensor], *options: Any
) -> list[Tensor]:
    return [value.new_empty(value.shape) for value in [*feeds, *params]]


def _save(ctx: Any, inputs: Inputs, output: Tensor) -> None:
    feeds, params, ctx.dims, ctx.depths, ctx.orders, lengths, feed_index, *ctx.options = inputs
    ctx.save_for_backward(lengths, feed_index, *feeds, *params)


def _grad(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    lengths, feed_index, *rows = ctx.saved_tensors
    pairs = len(ctx.depths)
    indices = (ctx.orders, lengths, feed_index)
    grads = ops.coaction_multi_backward(
        grad, rows[:pairs], rows[pairs:], ctx.dims, ctx.depths, *indices, *ctx.options
    )
    return grads[:pairs], grads[pairs:], *no_gradients(2 + len(Options._fields))


torch.library.register_fake("recops::coaction_multi", _fake_multi)
torch.library.register_fake("recops::coaction_multi_backward", _fake_backward)
register_autograd("coaction_multi", _grad, _save)
torch.library.register_autocast("recops::coaction_multi", "cpu", torch.float32)
