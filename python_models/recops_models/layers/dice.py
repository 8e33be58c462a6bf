"""Dice: an activation that bends where its input's distribution is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import recops


class Dice(nn.Module):
    """``f(s) = p(s)·s + (1 − p(s))·α·s``, ``p(s) = σ((s − E[s]) / √(Var[s] + ε))``, unit by unit.

    In training E and Var are the batch's (Var over B, not B − 1), and running averages follow them,
    as a batch norm's of the mean and of Var over B − 1; in evaluation they are the running
    averages, so that a prediction does not depend on the rows beside it. A batch of one row or none
    has no distribution: it meets the running averages and leaves them as they are. α is learnt and
    begins at 0. It is computed by :func:`recops.dice`.

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
        rows = x.shape[0]
        if self.always_batch and rows > 0:
            out, _, _ = recops.dice(x, self.alpha, eps=self.eps)
        elif self.training and rows > 1:
            out, mean, var = recops.dice(x, self.alpha, eps=self.eps)
            self._follow(mean, var, rows)
        else:
            mean, var = self.running_mean, self.running_var
            out, _, _ = recops.dice(x, self.alpha, mean, var, eps=self.eps)
        return out

    def _follow(self, mean: Tensor, var: Tensor, rows: int) -> None:
        """Running averages of the batch's mean, and of its variance over rows − 1."""
        running_mean, running_var = self.running_mean, self.running_var
        if mean.dtype != running_mean.dtype:
            mean, var = mean.to(running_mean.dtype), var.to(running_var.dtype)
        running_mean.lerp_(mean, self.momentum)
        # m · var · B/(B − 1) is m · var and m/(B − 1) of it; a product of its own takes longer.
        running_var.lerp_(var, self.momentum).add_(var, alpha=self.momentum / (rows - 1))
