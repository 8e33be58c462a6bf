"""Options of the co-action functions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor

Activation: TypeAlias = Literal["tanh", "selu", "relu", "none"]
Pool: TypeAlias = Literal["sum", "mean"]


class CoactionOptions(NamedTuple):
    """Options of a co-action call with their defaults, in the argument order of every op."""

    orders: int = 1
    lengths: Tensor | None = None
    feed_index: Tensor | None = None
    bias: bool = False
    activation: Activation = "tanh"
    activate_last: bool = False
    concat_hidden: bool = True
    pool: Pool = "sum"
    order_independent: bool = False

    def params_width(self, dims: Sequence[int]) -> int:
        """Return the width of one candidate's parameter row."""
        one = sum((inputs + int(self.bias)) * outputs for inputs, outputs in pairwise(dims))
        return one * (self.orders if self.order_independent else 1)

    def output_width(self, dims: Sequence[int]) -> int:
        """Return the width of one candidate's result row."""
        return self.orders * (sum(dims[1:]) if self.concat_hidden else dims[-1])
