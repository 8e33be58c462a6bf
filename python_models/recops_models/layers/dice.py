"""Dice: an activation that bends where its input's distribution is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dice(nn.Module):
    """``f(s) = p(s)·s + (1 − p(s))·α·s``, ``p(s) = σ((s − E[s]) / √(Var[s] + ε))``, unit by unit.

    In training E and Var are the batch's (Var over B, not B − 1), and running averages follow them;
    in evaluation they are the running averages, so that a prediction does not depend on the rows
    beside it. A batch of one row or none has no distribution: it meets the running averages and
    leaves them as they are. α is learnt and begins at 0.

    Source: Zhou et al., Deep Interest Network, KDD 2018, §5.2; ε 1e-8. Its released
    code takes the batch's statistics in evaluation as well.

    Args:
        width: units.
        momentum: the weight of a batch in the running averages.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, *, momentum: float = 0.1, eps: float = 1e-8) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.alpha = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, width]`` to ``[B, width]``."""
        mean, var = self.running_mean, self.running_var
        if self.training and x.shape[0] > 1:
            standardised = F.batch_norm(
                x, mean, var, training=True, momentum=self.momentum, eps=self.eps
            )
        else:
            standardised = F.batch_norm(x, mean, var, eps=self.eps)
        gate = torch.sigmoid(standardised)
        return x * (self.alpha + (1 - self.alpha) * gate)
