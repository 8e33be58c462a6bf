"""Shape of a network as constants of the kernels, and the limits of the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import triton

from recops.ops.coaction.triton.table import MOST_SETS, MOST_VALUES
from recops.state.coaction import CoactionOptions

LEAST_WIDTH = 8 if tuple(map(int, triton.__version__.split(".")[:2])) >= (3, 9) else 16
"""Least width that Triton accepts for a tile that a product sums over, by its version."""

MOST_WIDTH = 32
MOST_LAYERS = 8
MOST_ORDERS = 8
MOST_UNROLLED = 16
"""Largest number of layers times orders, which kernels unroll."""


class Net(NamedTuple):
    """Constants of the kernels. Levels are those of dims: 0 is the feed, l the result of layer l.

    Layers 1 … INNER run at every event, the later ones once, on sums. ``COLUMNS_AT`` holds the
    first column of each level in the results of an order, and −1 for a level that is not output.
    ``WEIGHTS_AT`` holds the position of each layer in a set of parameters; a row holds ``SETS``.
    """

    DIMS: tuple[int, ...]
    WIDTHS: tuple[int, ...]
    WEIGHTS_AT: tuple[int, ...]
    COLUMNS_AT: tuple[int, ...]
    INNER: int
    LAYERS: int
    ORDERS: int
    SETS: int
    SET_WIDTH: int
    FEATURES: int
    BIAS: bool
    ACTIVATION: str
    MEAN: bool

    @property
    def values(self) -> int:
        """Number of values per event, with padding."""
        return sum(self.WIDTHS[: self.INNER + 1])


def make_net(dims: Sequence[int], options: CoactionOptions, *, backward: bool) -> Net:
    """Return the constants of a network for the forward or the backward kernel."""
    layers = len(dims) - 1
    inner = layers if options.activate_last else layers - 1
    inner = 0 if options.activation == "none" else inner
    sizes = [(inputs + int(options.bias)) * outputs for inputs, outputs in pairwise(dims)]
    emitted = [level == layers or options.concat_hidden for level in range(1, layers + 1)]
    widths = [size if out else 0 for size, out in zip(dims[1:], emitted, strict=True)]
    starts = [*accumulate(widths, initial=0)][:layers]
    columns = [start if out else -1 for start, out in zip(starts, emitted, strict=True)]
    # The backward pass also sums over the outputs of the last inner layer.
    summed = inner + 1 if backward else inner
    return Net(
        DIMS=tuple(dims),
        WIDTHS=tuple(
            _padded(size, LEAST_WIDTH if level < summed and inner > 0 else 1)
            for level, size in enumerate(dims)
        ),
        WEIGHTS_AT=tuple(accumulate(sizes, initial=0))[:layers],
        COLUMNS_AT=(-1, *columns),
        INNER=inner,
        LAYERS=layers,
        ORDERS=options.orders,
        SETS=options.orders if options.order_independent else 1,
        SET_WIDTH=sum(sizes),
        FEATURES=sum(widths),
        BIAS=options.bias,
        ACTIVATION=options.activation,
        MEAN=options.pool == "mean",
    )


def fits(dims: Sequence[int], options: CoactionOptions) -> bool:
    """Return whether the kernels can take a network."""
    layers = len(dims) - 1
    return (
        1 <= layers <= MOST_LAYERS
        and min(dims) >= 1
        and max(dims) <= MOST_WIDTH
        and 1 <= options.orders <= (MOST_SETS if options.order_independent else MOST_ORDERS)
        and layers * options.orders <= MOST_UNROLLED
        and make_net(dims, options, backward=True).values <= MOST_VALUES
    )


def _padded(size: int, least: int) -> int:
    return max(least, 1 << (size - 1).bit_length())
