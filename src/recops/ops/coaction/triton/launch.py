"""Launchers of the forward pass of co-action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recops.ops._composite import composite
from recops.ops._triton_device import OLDEST_CAPABILITY, capability, on_device
from recops.ops.coaction.composite import check_multi, check_one, check_tables
from recops.ops.coaction.triton.kernels.forward import coaction_forward
from recops.ops.coaction.triton.net import fits, make_net
from recops.ops.coaction.triton.table import FORWARD, EventTiles, select
from recops.state.coaction import CoactionOptions

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_INT32_MAX = 2**31 - 1
_MOST_TIME = 1 << 30


class NetInputs(NamedTuple):
    """Inputs of one network: rows of histories and of parameters.

    ``feed`` is ``[U, T, d0]``, or a table ``[N, d0]`` if there is a ``history [U, T]``. ``targets``
    holds rows of ``params``, if not one per candidate.
    """

    feed: Tensor
    params: Tensor
    dims: Sequence[int]
    options: CoactionOptions
    history: Tensor | None = None
    targets: Tensor | None = None

    @property
    def users(self) -> int:
        """Number of histories."""
        return len(self.feed if self.history is None else self.history)

    @property
    def time(self) -> int:
        """Number of events of a history, T."""
        return (self.feed if self.history is None else self.history).shape[1]

    @property
    def candidates(self) -> int:
        """Number of candidates, B."""
        return len(self.params if self.targets is None else self.targets)

    def fit(self) -> bool:
        """Return whether the kernels can take the shapes and dtypes on this card."""
        return (
            self.feed.dtype in _DTYPES
            and self.params.dtype in _DTYPES
            and fits(self.dims, self.options)
            and 0 < self.candidates <= _INT32_MAX
            and self.users > 0
            and self.time < _MOST_TIME
            and max(len(self.feed), len(self.params), self.users) <= _INT32_MAX
            and capability(self.feed) >= OLDEST_CAPABILITY
        )

    def arguments(self) -> tuple[Any, ...]:
        """Return the first arguments of every kernel: pointers, and sizes."""
        options = self.options
        indices = (self.history, self.targets, options.lengths, options.feed_index)
        return (
            self.feed.contiguous(),
            self.params.contiguous(),
            *(None if index is None else index.contiguous() for index in indices),
        )

    def sizes(self) -> tuple[int, ...]:
        """Return the sizes that kernels check indices against."""
        return self.users, self.time, len(self.feed), len(self.params)


def coaction(feed: Tensor, params: Tensor, dims: Sequence[int], *options: Any) -> Tensor:
    """Compute ``recops::coaction``.

    Outside :func:`recops.debug`, a length or a user out of range raises no error, because a check
    would wait for the device. The results of its candidates are then NaN.
    """
    inputs = NetInputs(feed, params, dims, CoactionOptions(*options))
    check_one("coaction", feed, params, dims, inputs.options)
    if not inputs.fit():
        result: Tensor = composite("coaction")(feed, params, dims, *options)
        return result
    out = feed.new_empty((inputs.candidates, inputs.options.output_width(dims)))
    forward(inputs, out)
    return out


def coaction_gather(
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    sparse: bool,
    *options: Any,
) -> Tensor:
    """Compute ``recops::coaction_gather``; an index out of range gives NaN, as in coaction."""
    settings = CoactionOptions(*options)
    inputs = NetInputs(feed_table, params_table, dims, settings, history, targets)
    check_tables("coaction_gather", feed_table, history, params_table, targets, dims, settings)
    if not inputs.fit():
        result: Tensor = composite("coaction_gather")(
            feed_table, history, params_table, targets, dims, sparse, *options
        )
        return result
    out = feed_table.new_empty((inputs.candidates, settings.output_width(dims)))
    forward(inputs, out)
    return out


def coaction_multi(
    feeds: Sequence[Tensor],
    params: Sequence[Tensor],
    dims: Sequence[int],
    depths: Sequence[int],
    *options: Any,
) -> Tensor:
    """Compute ``recops::coaction_multi``: one launch per pair, into its columns of the result."""
    settings = CoactionOptions(*options)
    pair_dims = check_multi("coaction_multi", feeds, params, dims, depths, settings)
    pairs = [
        NetInputs(feed, rows, layers, settings)
        for feed, rows, layers in zip(feeds, params, pair_dims, strict=True)
    ]
    if not all(pair.fit() for pair in pairs):
        result: Tensor = composite("coaction_multi")(feeds, params, dims, depths, *options)
        return result
    widths = [settings.output_width(layers) for layers in pair_dims]
    out = feeds[0].new_empty((pairs[0].candidates, sum(widths)))
    for pair, columns in zip(pairs, out.split(widths, 1), strict=True):
        forward(pair, columns)
    return out


def forward(inputs: NetInputs, out: Tensor, launch: EventTiles | None = None) -> None:
    """Write the results of one network on the current stream.

    Args:
        inputs: inputs that fit the kernels.
        out: ``[B, width]`` with adjacent columns.
        launch: launch configuration; by default that of the table.
    """
    net = make_net(inputs.dims, inputs.options, backward=False)
    launch = launch or select(FORWARD, net.values, net.SETS)
    with on_device(out):
        coaction_forward[(inputs.candidates,)](
            *inputs.arguments(), out, *inputs.sizes(), out.stride(0), **net._asdict(),
            BLOCK_TIME=launch.block_time, num_warps=launch.num_warps, num_stages=1,
            enable_fp_fusion=True,
        )  # fmt: skip
