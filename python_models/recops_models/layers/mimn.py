"""The weights of a multi-channel user interest memory network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import recops

_STATIC = ("memory_init",)
"""Every user's memory begins alike, and is not learnt (the released code)."""

_BOUNDED = ("key_memory", "read_init")
"""Learnt as what tanh is taken of (the released code)."""


class MimnWeights(nn.Module):
    """What :func:`recops.mimn_scan` takes as ``params``, to be learnt.

    Args:
        input_size: D, of an event and of a slot.
        hidden_size: H.
        num_slots: m.
        usage_scale: what usage is divided by, about the length of histories.
        key_memory: whether slots have static keys, which the released code has and the paper
            does not tell of.
    """

    memory_init: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_slots: int,
        *,
        usage_scale: float = 400.0,
        key_memory: bool = True,
    ) -> None:
        super().__init__()
        self.usage_scale = usage_scale
        begun = recops.MimnParams.random(
            input_size=input_size,
            hidden_size=hidden_size,
            num_slots=num_slots,
            seed=int(torch.randint(2**31, ())),
            key_memory=key_memory,
        )
        self.weights = nn.ParameterDict()
        for name, tensor in begun.state_dict().items():
            if name in _STATIC:
                self.register_buffer(name, tensor)
            else:
                self.weights[name] = torch.atanh(tensor) if name in _BOUNDED else tensor

    def params(self) -> recops.MimnParams:
        """The weights as the ops take them."""
        tensors: dict[str, Tensor] = {
            name: torch.tanh(weight) if name in _BOUNDED else weight
            for name, weight in self.weights.items()
        }
        return recops.MimnParams(
            key_memory=tensors.pop("key_memory", None),
            memory_init=self.memory_init,
            usage_scale=self.usage_scale,
            **tensors,
        )
