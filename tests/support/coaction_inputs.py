"""Inputs and comparisons for the tests of co-action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

import recops
from tolerances import AGREEMENT, DTYPES

CAN = (16, 8, 4)
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.T.contiguous().T if x.ndim == 2 else x.mT.contiguous().mT,
    "backwards": lambda x: x.flip(0).contiguous().flip(0),
}


def params_width(dims: Sequence[int], *, bias: bool = False, sets: int = 1) -> int:
    return sets * sum((inputs + bias) * outputs for inputs, outputs in pairwise(dims))


@dataclass
class Call:
    """Operands of ``coaction``, with values of moderate size, and its options."""

    feed: Tensor
    params: Tensor
    dims: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        return self.feed, self.params, self.dims

    def twin(self) -> Call:
        """Return the call in float64, with the same values and with gradients."""
        feed, params = (
            value.detach().double().requires_grad_() for value in (self.feed, self.params)
        )
        return Call(feed, params, self.dims, self.options)


def make_call(
    users: int = 5,
    time: int = 7,
    dims: tuple[int, ...] = CAN,
    *,
    candidates: int | None = None,
    ragged: bool = True,
    dtype: torch.dtype = torch.float32,
    params_dtype: torch.dtype | None = None,
    index: torch.dtype = torch.int64,
    layout: str = "contiguous",
    **options: Any,
) -> Call:
    """Return a random call; without ``candidates``, each user has one candidate."""
    count = users if candidates is None else candidates
    sets = options.get("orders", 1) if options.get("order_independent") else 1
    width = params_width(dims, bias=options.get("bias", False), sets=sets)
    feed = LAYOUTS[layout]((torch.randn(users, time, dims[0]) * 0.5).to(dtype))
    params = LAYOUTS[layout]((torch.randn(count, width) * 0.4).to(params_dtype or dtype))
    if ragged:
        options["lengths"] = torch.randint(0, time + 1, (users,)).to(index)
    if candidates is not None:
        options["feed_index"] = torch.randint(0, users, (candidates,)).to(index)
    return Call(feed.requires_grad_(), params.requires_grad_(), dims, options)


def networks() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for networks of every kind."""
    return st.fixed_dictionaries(
        {
            "orders": st.integers(1, 4),
            "bias": st.booleans(),
            "activation": st.sampled_from(["tanh", "selu", "relu", "none"]),
            "activate_last": st.booleans(),
            "concat_hidden": st.booleans(),
            "pool": st.sampled_from(["sum", "mean"]),
            "order_independent": st.booleans(),
        }
    )


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Draw calls of every kind of network on odd, empty and ragged shapes."""
    torch.manual_seed(draw(st.integers(0, 999)))
    users = draw(st.integers(1, 40))
    return make_call(
        users,
        draw(st.sampled_from([0, 1, 2, 3, 9, 34])),
        tuple(draw(st.lists(st.integers(1, 18), min_size=2, max_size=4))),
        candidates=draw(st.one_of(st.none(), st.integers(0, 3 * users))),
        ragged=draw(st.booleans()),
        dtype=draw(st.sampled_from(DTYPES)),
        index=draw(st.sampled_from([torch.int32, torch.int64])),
        layout=draw(st.sampled_from(list(LAYOUTS))),
        **draw(networks()),
    )


def run(call: Call, function: Callable[..., Tensor] = recops.coaction) -> Tensor:
    return function(*call.arguments, **call.options)


def gradients(output: Tensor, call: Call, weight: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output, (call.feed, call.params), weight.to(output.dtype))


def assert_agrees(actual: Tensor, expected: Tensor) -> None:
    """Check agreement up to rounding relative to the largest value, as some sums cancel."""
    size = expected.abs().max().item() if expected.numel() else 0.0
    tolerance = AGREEMENT[actual.dtype]
    torch.testing.assert_close(
        actual,
        expected.to(actual.dtype),
        rtol=tolerance["rtol"],
        atol=tolerance["atol"] * max(1.0, size),
    )
