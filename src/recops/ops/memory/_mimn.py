"""What the functions of MIMN share."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from recops.state.mimn import MimnParams, MimnState

Utilization: TypeAlias = Literal["none", "paper", "code"]


class Tensors(NamedTuple):
    """Parameters as the ops take them."""

    params: list[Tensor]
    key_memory: Tensor | None
    usage_scale: float

    def all(self) -> list[Tensor]:
        return self.params if self.key_memory is None else [*self.params, self.key_memory]

    def detached(self) -> Tensors:
        key_memory = None if self.key_memory is None else self.key_memory.detach()
        return Tensors([p.detach() for p in self.params], key_memory, self.usage_scale)


def tensors_of(params: MimnParams, dtype: torch.dtype) -> Tensors:
    """The parameters in ``dtype``, without the initial state."""
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
    """Raises ValueError where one is not known."""
    if utilization not in ("none", "paper", "code"):
        raise ValueError(
            f"{op}: utilization must be 'none', 'paper' or 'code', got {utilization!r}"
        )
    if induction_topk < 0:
        raise ValueError(f"{op}: induction_topk must not be negative, got {induction_topk}")


def check_state(op: str, state: MimnState, params: MimnParams, like: Tensor) -> None:
    """A state, once made, is of one size; it must be that of the parameters, where x is.

    Raises:
        ValueError: it is not.
    """
    due = (params.num_slots, params.input_size, params.hidden_size)
    found = (state.memory.shape[1], state.memory.shape[2], state.hidden.shape[1])
    if found[0] != due[0] or found[1] != due[1] or found[2] != due[2]:
        raise ValueError(
            f"{op}: state must have (slots, width, hidden) = {due} as the parameters, got {found}"
        )
    for name, tensor in (("state", state.memory), ("params", params.memory_init)):
        if tensor.device != like.device:
            raise ValueError(f"{op}: {name} must be on {like.device}, got {tensor.device}")
