"""Weights of a hierarchical periodic memory network (HPMN)."""

from __future__ import annotations

import torch
from torch import nn

import recops

_LAYER = "w_ih."


class HpmnWeights(nn.Module):
    """Learnable ``params`` of :func:`recops.hpmn_scan` and :func:`recops.hpmn_read`.

    Args:
        input_size: I, of an event and of a query.
        hidden_size: H, of a slot.
        num_slots: m.
        hops: number of hops of the attention that reads the slots.

    Example:
        >>> import torch
        >>> import recops
        >>> from recops_models.layers.hpmn import HpmnWeights
        >>> weights = HpmnWeights(input_size=4, hidden_size=8, num_slots=3, hops=2)
        >>> events, lengths = torch.randn(2, 5, 4), torch.tensor([5, 3])
        >>> params = weights.params()
        >>> memory, _ = recops.hpmn_scan(events, params, periods=(1, 2, 4), lengths=lengths)
        >>> memory.shape  # users, slots, H
        torch.Size([2, 3, 8])
    """

    def __init__(self, input_size: int, hidden_size: int, num_slots: int, *, hops: int) -> None:
        super().__init__()
        initial = recops.HpmnParams.random(
            input_size=input_size,
            hidden_size=hidden_size,
            num_slots=num_slots,
            hops=hops,
            seed=int(torch.randint(2**31, ())),
        )
        tensors = initial.state_dict()
        self.weights = nn.ParameterDict(
            {name: tensor for name, tensor in tensors.items() if not name.startswith(_LAYER)}
        )
        self.w_ih = nn.ParameterList(
            tensor for name, tensor in tensors.items() if name.startswith(_LAYER)
        )

    def params(self) -> recops.HpmnParams:
        """Return the weights as the argument ``params`` of the ops."""
        return recops.HpmnParams(w_ih=tuple(self.w_ih), **dict(self.weights.items()))
