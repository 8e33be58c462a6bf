"""Dense mixture of SwiGLU experts."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.layers.dropout import Dropout


class ExpertMixture(nn.Module):
    """``y = Σ_e g_e(x) · W_out,e (silu(W_gate,e x) ⊙ W_in,e x)`` with ``g = softmax(W x)``.

    One softmax gate weights all experts; MMoE has one gate per task. The experts are computed as
    one wide SwiGLU whose hidden units are scaled by the gate of their expert.

    Args:
        width: d.
        hidden: hidden width of each expert.
        experts: E ≥ 1.
        dropout: on the hidden units.

    Example:
        >>> import torch
        >>> from recops_models.layers.experts import ExpertMixture
        >>> ExpertMixture(width=8, hidden=16, experts=4)(torch.randn(3, 8)).shape
        torch.Size([3, 8])
    """

    def __init__(self, width: int, hidden: int, experts: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.experts = experts
        self.gate = nn.Linear(width, experts)
        self.spread = nn.Linear(width, 2 * experts * hidden, bias=False)
        self.gather = nn.Linear(experts * hidden, width, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        gated, linear = self.spread(x).chunk(2, dim=-1)  # (..., E * hidden)
        hidden = F.silu(gated) * linear
        weight = self.gate(x).softmax(-1)  # (..., E)
        hidden = (hidden.unflatten(-1, (self.experts, -1)) * weight[..., None]).flatten(-2)
        out: Tensor = self.gather(self.dropout(hidden))
        return out
