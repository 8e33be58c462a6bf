"""Checks of shapes of memory networks in composites, with the kernels' messages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from recops._checks import INT32_MAX
from recops.ops._shapes import check_numel, check_shape

_MOST_EVENTS = 2**32 - 1
"""Largest number of events of a call that the kernels can sort."""


def check_events(op: str, rows: Tensor, events: int) -> None:
    """Check the number of rows of a call with this number of events."""
    if events > _MOST_EVENTS:
        raise ValueError(f"{op}: rows must be at most {_MOST_EVENTS}, got {events}")
    check_numel(op, "rows", rows, events)


def check_mimn(
    op: str, params: Sequence[Tensor], key_memory: Tensor | None, width: int, topk: int
) -> None:
    """Check the parameters of MIMN for inputs of this width, and the number of channels."""
    is_complete = len(params) == 11 and params[1].ndim == 2 and params[5].ndim == 2
    if not is_complete or topk < 0:
        raise ValueError(
            f"{op}: params must have 11 tensors, and induction_topk must be at least 0"
        )
    hidden, slots, heads = params[1].shape[1], len(params[5]), 4 * width + 6
    shapes: dict[str, tuple[int, ...]] = {
        "controller_w_ih": (3 * hidden, 2 * width),
        "controller_w_hh": (3 * hidden, hidden),
        "controller_bias": (3 * hidden,),
        "head_w": (heads, hidden + slots),
        "head_b": (heads,),
        "usage_w": (slots, slots),
        "induction_w_ih": (3 * width, 2 * width),
        "induction_w_hh": (3 * width, width),
        "induction_bias": (3 * width,),
        "out_w": (hidden, hidden + width),
        "out_b": (hidden,),
    }
    for (name, shape), tensor in zip(shapes.items(), params, strict=True):
        check_shape(op, name, tensor, *shape)
    if key_memory is not None:
        check_shape(op, "key_memory", key_memory, slots, width)


def mimn_fields(op: str, state: Sequence[Tensor], params: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors of a state, or their gradients, in the shapes of a MimnState.

    The kernels accept any shape with the right number of values.
    """
    if len(state) != 7:
        raise ValueError(f"{op}: a state has 7 floating tensors")
    rows, width, hidden, slots = (
        *(len(state[0]), params[0].shape[1] // 2),
        *(params[1].shape[1], len(params[5])),
    )
    memory, vector = (rows, slots, width), (rows, width)
    shapes: list[tuple[int, ...]] = [
        *((rows, hidden), vector, memory, (rows, slots)),  # hidden, read, memory, usage
        *(vector, memory, vector),  # added, channels, pooled
    ]
    for tensor, shape in zip(state, shapes, strict=True):
        check_numel(op, "state", tensor, math.prod(shape))
    return [tensor.reshape(shape) for tensor, shape in zip(state, shapes, strict=True)]


def check_hpmn(
    op: str,
    w_ih: Sequence[Tensor],
    w_hh: Tensor,
    bias: Tensor,
    periods: Sequence[int],
    width: int,
) -> None:
    """Check the parameters of HPMN for inputs of this width, and the periods."""
    slots = len(w_ih)
    if w_hh.ndim != 3 or len(w_hh) != slots or slots == 0 or len(periods) != slots:
        raise ValueError(f"{op}: periods and parameters must have the same number of slots")
    _check_periods(op, periods)
    hidden = w_hh.shape[2]
    for j, tensor in enumerate(w_ih):
        check_shape(op, "w_ih", tensor, 3 * hidden, hidden if j else width)
    check_shape(op, "w_hh", w_hh, slots, 3 * hidden, hidden)
    check_shape(op, "bias", bias, slots, 3 * hidden)


def _check_periods(op: str, periods: Sequence[int]) -> None:
    """Check that the periods are multiples of each other, with ratios that the kernel can count."""
    for j, (below, period) in enumerate(pairwise([1, *periods])):
        if period <= 0 or (period % below if j else period != 1):
            raise ValueError(
                f"{op}: periods must begin with 1 and each divide the next, "
                f"got periods[{j}] = {period}"
            )
        if period // below > INT32_MAX:
            raise ValueError(
                f"{op}: periods must each be at most {INT32_MAX} times the last, "
                f"got periods[{j}] = {period}"
            )
