"""Weights of a multi-channel user interest memory network (MIMN)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import recops

_STATIC = ("memory_init",)
"""Not learnt: every user's memory starts with the same values (as in the released code)."""

_BOUNDED = ("key_memory", "read_init")
"""Parametrised as ``tanh`` of a learnt tensor (as in the released code)."""


class MimnWeights(nn.Module):
    """Learnable ``params`` of :func:`recops.mimn_scan`.

    Args:
        input_size: D, of an event and of a slot.
        hidden_size: H.
        num_slots: m.
        usage_scale: divisor of the usage, about the length of histories.
        key_memory: whether slots have static keys, as in the released code; the paper has none.

    Example:
        >>> import torch
        >>> import recops
        >>> from recops_models.layers.mimn import MimnWeights
        >>> weights = MimnWeights(input_size=4, hidden_size=8, num_slots=3)
        >>> events, lengths = torch.randn(2, 5, 4), torch.tensor([5, 3])
        >>> outputs, state = recops.mimn_scan(events, weights.params(), lengths=lengths)
        >>> outputs.shape, state.memory.shape
        (torch.Size([2, 5, 8]), torch.Size([2, 3, 4]))
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
        initial = recops.MimnParams.random(
            input_size=input_size,
            hidden_size=hidden_size,
            num_slots=num_slots,
            seed=int(torch.randint(2**31, ())),
            key_memory=key_memory,
        )
        self.weights = nn.ParameterDict()
        for name, tensor in initial.state_dict().items():
            if name in _STATIC:
                self.register_buffer(name, tensor)
            else:
                self.weights[name] = torch.atanh(tensor) if name in _BOUNDED else tensor

    def params(self) -> recops.MimnParams:
        """Return the weights as the argument ``params`` of the op."""
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
