"""Parameters in the form that the ops take, and argument checks that the MIMN functions share."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor

from recops._checks import check_choice, check_integer
from recops.state._memory import check_kind
from recops.state.mimn import MimnParams, MimnState

Utilization: TypeAlias = Literal["none", "paper", "code"]


class Tensors(NamedTuple):
    """Parameters in the form that the ops take."""

    params: list[Tensor]
    key_memory: Tensor | None
    usage_scale: float

    def all(self) -> list[Tensor]:
        """Return all tensors as a list."""
        return self.params if self.key_memory is None else [*self.params, self.key_memory]

    def detached(self) -> Tensors:
        """Return the parameters without gradients."""
        key_memory = None if self.key_memory is None else self.key_memory.detach()
        return Tensors([p.detach() for p in self.params], key_memory, self.usage_scale)


def op_tensors(params: MimnParams, dtype: torch.dtype) -> Tensors:
    """Return the parameters in ``dtype``, without the initial state."""
    p = params
    ordered = [
        p.controller_w_ih,
        p.controller_w_hh,
        p.controller_bias,
        p.head_w,
        p.head_b,
        p.usage_w,
        p.induction_w_ih,
        p.induction_w_hh,
        p.induction_bias,
        p.out_w,
        p.out_b,
    ]
    key_memory = None if p.key_memory is None else p.key_memory.to(dtype)
    return Tensors([tensor.to(dtype) for tensor in ordered], key_memory, float(p.usage_scale))


def check_options(op: str, utilization: str, induction_topk: int) -> None:
    """Check the options; raise TypeError or ValueError if one is invalid."""
    check_choice(op, "utilization", utilization, get_args(Utilization))
    check_integer(op, "induction_topk", induction_topk)


def check_state(op: str, name: str, state: MimnState, params: MimnParams, like: Tensor) -> None:
    """Check that a state has the sizes of the parameters, and that both are on the input's device.

    Raises:
        TypeError, ValueError: the state has another type or size, or a device does not match.
    """
    check_kind(op, name, state, MimnState)
    sizes = (params.num_slots, params.input_size, params.hidden_size)
    actual = (state.memory.shape[1], state.memory.shape[2], state.hidden.shape[1])
    if actual[0] != sizes[0] or actual[1] != sizes[1] or actual[2] != sizes[2]:
        raise ValueError(
            f"{op}: {name} must have (slots, width, hidden) = {sizes} as the parameters, "
            f"got {actual}"
        )
    for argument, tensor in ((name, state.memory), ("params", params.memory_init)):
        if tensor.device != like.device:
            raise ValueError(f"{op}: {argument} must be on {like.device}, got {tensor.device}")
