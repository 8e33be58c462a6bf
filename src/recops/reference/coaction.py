"""Reference of co-action; see :mod:`recops.ops.coaction`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from recops._dtypes import widened

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "selu": F.selu,
    "relu": F.relu,
    "none": lambda x: x,
}


def coaction(
    feed: Tensor,
    params: Tensor,
    dims: Sequence[int],
    *,
    orders: int = 1,
    lengths: Tensor | None = None,
    feed_index: Tensor | None = None,
    bias: bool = False,
    activation: str = "tanh",
    activate_last: bool = False,
    concat_hidden: bool = True,
    pool: str = "sum",
    order_independent: bool = False,
) -> Tensor:
    """Compute :func:`recops.coaction` in PyTorch."""
    dtype = feed.dtype
    feed, params = widened(feed), widened(params)
    users, time, _ = feed.shape
    if lengths is None:
        lengths = torch.full((users,), time, device=feed.device)
    if feed_index is not None:
        feed, lengths = feed[feed_index.long()], lengths[feed_index.long()]
    present = torch.arange(time, device=feed.device) < lengths[:, None]  # (B, T)
    feed = feed.where(present[:, :, None], 0)  # padding may contain NaN
    outputs = []
    rows = iter(params.split(_layer_sizes(dims, bias) * (orders if order_independent else 1), 1))
    layers: list[tuple[Tensor, Tensor | float]] = []
    for order in range(1, orders + 1):
        if order_independent or not layers:
            layers = [_layer(next(rows), *sizes, bias) for sizes in pairwise(dims)]
        hidden = feed
        for _ in range(order - 1):
            hidden = hidden * feed
        for layer, (weight, shift) in enumerate(layers, 1):
            hidden = torch.einsum("bti,bio->bto", hidden, weight) + shift
            if layer < len(layers) or activate_last:
                hidden = _ACTIVATIONS[activation](hidden)
            if concat_hidden or layer == len(layers):
                outputs.append(hidden.where(present[:, :, None], 0).sum(1))
    output = torch.cat(outputs, 1)  # (B, orders · Σ d_l)
    if pool == "mean":
        output = output / lengths.clamp(min=1)[:, None]
    return output.to(dtype)


def _layer_sizes(dims: Sequence[int], bias: bool) -> list[int]:
    return [(inputs + bias) * outputs for inputs, outputs in pairwise(dims)]


def _layer(row: Tensor, inputs: int, outputs: int, bias: bool) -> tuple[Tensor, Tensor | float]:
    """Return the weights ``[B, inputs, outputs]`` and the bias ``[B, 1, outputs]`` of a layer."""
    weight = row[:, : inputs * outputs].unflatten(1, (inputs, outputs))
    return weight, row[:, None, inputs * outputs :] if bias else 0.0


def coaction_gather(
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    *,
    sparse: bool = False,
    orders: int = 1,
    lengths: Tensor | None = None,
    feed_index: Tensor | None = None,
    bias: bool = False,
    activation: str = "tanh",
    activate_last: bool = False,
    concat_hidden: bool = True,
    pool: str = "sum",
    order_independent: bool = False,
) -> Tensor:
    """Compute :func:`recops.coaction_gather` in PyTorch."""
    history = history.long()
    if lengths is not None:  # padding may be an invalid index
        history = history.where(
            torch.arange(history.shape[1], device=history.device) < lengths[:, None], 0
        )
    return coaction(
        F.embedding(history, feed_table, sparse=sparse),
        F.embedding(targets.long(), params_table, sparse=sparse),
        dims,
        orders=orders,
        lengths=lengths,
        feed_index=feed_index,
        bias=bias,
        activation=activation,
        activate_last=activate_last,
        concat_hidden=concat_hidden,
        pool=pool,
        order_independent=order_independent,
    )


def coaction_multi(
    pairs: Iterable[tuple[Tensor, Tensor, Sequence[int]]],
    *,
    orders: int = 1,
    lengths: Tensor | None = None,
    feed_index: Tensor | None = None,
    bias: bool = False,
    activation: str = "tanh",
    activate_last: bool = False,
    concat_hidden: bool = True,
    pool: str = "sum",
    order_independent: bool = False,
) -> list[Tensor]:
    """Compute :func:`recops.coaction_multi` in PyTorch."""
    pairs = list(pairs)
    sequences = any(feed.shape[1] != 1 for feed, _, _ in pairs)
    return [
        coaction(
            feed,
            params,
            dims,
            orders=orders,
            lengths=None if sequences and feed.shape[1] == 1 else lengths,
            feed_index=feed_index,
            bias=bias,
            activation=activation,
            activate_last=activate_last,
            concat_hidden=concat_hidden,
            pool=pool,
            order_independent=order_independent,
        )
        for feed, params, dims in pairs
    ]
