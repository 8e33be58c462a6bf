"""Reference of co-action; see :mod:`recops.ops.coaction`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from recops._dtypes import widened
from recops.state.coaction import Activation, CoactionOptions, Pool

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _selu(x: Tensor) -> Tensor:
    """Compute SELU. Torch's own gradient of NaN is finite or NaN, depending on the shape."""
    return _SELU_SCALE * torch.where(x > 0, x, _SELU_ALPHA * x.clamp(max=0).expm1())


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "selu": _selu,
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
    activation: Activation = "tanh",
    activate_last: bool = False,
    concat_hidden: bool = True,
    pool: Pool = "sum",
    order_independent: bool = False,
) -> Tensor:
    """Compute :func:`recops.coaction` in PyTorch."""
    settings = CoactionOptions(
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
    dtype = feed.dtype
    feed, params = widened(feed), widened(params)
    users, time, _ = feed.shape
    lengths = settings.lengths
    if lengths is None:
        lengths = torch.full((users,), time, device=feed.device)
    if settings.feed_index is not None:
        index = settings.feed_index.long()
        feed, lengths = feed[index], lengths[index]
    present = (torch.arange(time, device=feed.device) < lengths[:, None])[:, :, None]  # (B, T, 1)
    feed = feed.where(present, 0)  # padding may contain NaN
    activate = _ACTIVATIONS[activation]
    sets = settings.orders if settings.order_independent else 1
    rows = iter(params.split(_layer_sizes(dims, settings.bias) * sets, 1))
    outputs = []
    layers: list[tuple[Tensor, Tensor | float]] = []
    for order in range(1, settings.orders + 1):
        if settings.order_independent or not layers:
            layers = [_layer(next(rows), *sizes, settings.bias) for sizes in pairwise(dims)]
        hidden = feed
        for _ in range(order - 1):
            hidden = hidden * feed
        for layer, (weight, shift) in enumerate(layers, 1):
            # A product of padding and infinite parameters is NaN, so mask it, also in the backward
            # pass. Every activation maps 0 to 0.
            hidden = (torch.einsum("bti,bio->bto", hidden, weight) + shift).where(present, 0)
            if layer < len(layers) or settings.activate_last:
                hidden = activate(hidden)
            if settings.concat_hidden or layer == len(layers):
                outputs.append(hidden.sum(1))
    output = torch.cat(outputs, 1)  # (B, orders · Σ d_l)
    if settings.pool == "mean":
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
    activation: Activation = "tanh",
    activate_last: bool = False,
    concat_hidden: bool = True,
    pool: Pool = "sum",
    order_independent: bool = False,
) -> Tensor:
    """Compute :func:`recops.coaction_gather` in PyTorch."""
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
    history = history.long()
    if lengths is not None:  # padding may be an invalid index
        history = history.where(
            torch.arange(history.shape[1], device=history.device) < lengths[:, None], 0
        )
    feed = F.embedding(history, feed_table, sparse=sparse)
    params = F.embedding(targets.long(), params_table, sparse=sparse)
    return coaction(feed, params, dims, **options._asdict())


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
    """Compute :func:`recops.coaction_multi` in PyTorch."""
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
    pairs = list(pairs)
    has_sequences = any(feed.shape[1] != 1 for feed, _, _ in pairs)
    outputs = []
    for feed, params, dims in pairs:
        has_lengths = feed.shape[1] != 1 or not has_sequences
        own = options if has_lengths else options._replace(lengths=None)
        outputs.append(coaction(feed, params, dims, **own._asdict()))
    return outputs
