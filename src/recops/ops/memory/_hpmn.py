"""What the functions of HPMN share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from recops._checks import check_sizes
from recops.state._memory import check_kind
from recops.state.hpmn import HpmnParams, HpmnState


def check_periods(op: str, periods: Sequence[int], slots: int) -> list[int]:
    """The periods, one a slot, from 1 on, each a multiple of the last.

    Raises:
        TypeError, ValueError: they are not.
    """
    found = check_sizes(op, "periods", periods)
    if len(found) != slots:
        raise ValueError(f"{op}: periods must have {slots} entries as the slots, got {found}")
    if found[0] != 1:
        raise ValueError(f"{op}: periods must begin with 1, got {found}")
    for below, above in pairwise(found):
        if above % below != 0:
            raise ValueError(f"{op}: periods must each divide the next, got {found}")
    return found


def check_state(op: str, name: str, state: HpmnState, params: HpmnParams, like: Tensor) -> None:
    """A state, once made, is of one size; it must be that of the parameters, where x is.

    Raises:
        TypeError, ValueError: it is not.
    """
    check_kind(op, name, state, HpmnState)
    due = (params.num_slots, params.hidden_size)
    found = (state.memory.shape[1], state.memory.shape[2])
    if found[0] != due[0] or found[1] != due[1]:
        raise ValueError(f"{op}: {name} must have (slots, hidden) = {due}, got {found}")
    for held, tensor in ((name, state.memory), ("params", params.w_hh)):
        if tensor.device != like.device:
            raise ValueError(f"{op}: {held} must be on {like.device}, got {tensor.device}")
