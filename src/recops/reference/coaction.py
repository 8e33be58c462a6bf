"""Reference of co-action; see :mod:`recops.ops.coaction`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import Unpack

from recops._dtypes import widened
from recops.state.coaction import CoactionArguments, CoactionOptions

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
    **options: Unpack[CoactionArguments],
) -> Tensor:
    """Compute :func:`recops.coaction` in PyTorch."""
    settings = CoactionOptions(**options)
    dtype = feed.dtype
    feed, params = widened(feed), widened(params)
    users, time, _ = feed.shape
    lengths = settings.lengths
    if lengths is None:
        lengths = torch.full((users,), time, device=feed.device)
    if settings.feed_index is not None:
        index = settings.feed_index.long()
        feed, lengths = feed[index], lengths[index]
    present = torch.arange(time, device=feed.device) < lengths[:, None]  # (B, T)
    feed = feed.where(present[:, :, None], 0)  # padding may contain NaN
    activation = _ACTIVATIONS[settings.activation]
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
            hidden = torch.einsum("bti,bio->bto", hidden, weight) + shift
            if layer < len(layers) or settings.activate_last:
                hidden = activation(hidden)
            if settings.concat_hidden or layer == len(layers):
                outputs.append(hidden.where(present[:, :, None], 0).sum(1))
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
    **options: Unpack[CoactionArguments],
) -> Tensor:
    """Compute :func:`recops.coaction_gather` in PyTorch."""
    history, lengths = history.long(), options.get("lengths")
    if lengths is not None:  # padding may be an invalid index
        history = history.where(
            torch.arange(history.shape[1], device=history.device) < lengths[:, None], 0
        )
    feed = F.embedding(history, feed_table, sparse=sparse)
    params = F.embedding(targets.long(), params_table, sparse=sparse)
    return coaction(feed, params, dims, **options)


def coaction_multi(
    pairs: Iterable[tuple[Tensor, Tensor, Sequence[int]]],
    **options: Unpack[CoactionArguments],
) -> list[Tensor]:
    """Compute :func:`recops.coaction_multi` in PyTorch."""
    pairs = list(pairs)
    has_sequences = any(feed.shape[1] != 1 for feed, _, _ in pairs)
    outputs = []
    for feed, params, dims in pairs:
        own = options.copy()
        if has_sequences and feed.shape[1] == 1:
            own["lengths"] = None
        outputs.append(coaction(feed, params, dims, **own))
    return outputs
