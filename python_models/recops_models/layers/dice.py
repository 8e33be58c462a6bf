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

    Source: Zhou et al., Deep Interest Network, KDD 2018, §5.2; ε 1e-8. DIEN's released code takes
    the batch's statistics in evaluation as well (``always_batch``), with ε 1e-9.

    Args:
        width: units.
        momentum: the weight of a batch in the running averages.
        eps: ε.
        always_batch: E and Var are the batch's, always: what is predicted for a row then depends on
            the rows beside it, and a row alone meets p = ½.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        width: int,
        *,
        momentum: float = 0.1,
        eps: float = 1e-8,
        always_batch: bool = False,
    ) -> None:
        super().__init__()
        self.momentum, self.eps, self.always_batch = momentum, eps, always_batch
        self.alpha = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, width]`` to ``[B, width]``."""
        mean, var = self.running_mean, self.running_var
        if self.always_batch and len(x):
            var, mean = torch.var_mean(x, 0, correction=0)
            standardised = (x - mean) / (var + self.eps).sqrt()
        elif self.training and x.shape[0] > 1:
            standardised = F.batch_norm(
                x, mean, var, training=True, momentum=self.momentum, eps=self.eps
            )
        else:
            standardised = F.batch_norm(x, mean, var, eps=self.eps)
        gate = torch.sigmoid(standardised)
        return x * (self.alpha + (1 - self.alpha) * gate)
