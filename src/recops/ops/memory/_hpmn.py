"""Argument checks that the HPMN functions share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from recops._checks import check_sizes
from recops.state._memory import check_kind
from recops.state.hpmn import HpmnParams, HpmnState


def check_periods(op: str, periods: Sequence[int], slots: int) -> list[int]:
    """Return the periods as a list: one per slot, the first is 1, and each divides the next.

    Raises:
        TypeError, ValueError: the periods are invalid.
    """
    sizes = check_sizes(op, "periods", periods)
    if len(sizes) != slots:
        raise ValueError(f"{op}: periods must have {slots} entries as the slots, got {sizes}")
    if sizes[0] != 1:
        raise ValueError(f"{op}: periods must begin with 1, got {sizes}")
    for below, above in pairwise(sizes):
        if above % below != 0:
            raise ValueError(f"{op}: periods must each divide the next, got {sizes}")
    return sizes


def check_state(op: str, name: str, state: HpmnState, params: HpmnParams, like: Tensor) -> None:
    """Check that a state has the sizes of the parameters, and that both are on the input's device.

    Raises:
        TypeError, ValueError: the state has another type or size, or a device does not match.
    """
    check_kind(op, name, state, HpmnState)
    expected = (params.num_slots, params.hidden_size)
    actual = (state.memory.shape[1], state.memory.shape[2])
    if actual[0] != expected[0] or actual[1] != expected[1]:
        raise ValueError(f"{op}: {name} must have (slots, hidden) = {expected}, got {actual}")
    for argument, tensor in ((name, state.memory), ("params", params.w_hh)):
        if tensor.device != like.device:
            raise ValueError(f"{op}: {argument} must be on {like.device}, got {tensor.device}")
