"""Dice, an activation that adapts to the distribution of its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import recops
from recops._dtypes import widest_dtype
from recops_models import workers


class Dice(nn.Module):
    """``f(s) = p(s)·s + (1 − p(s))·α·s``, ``p(s) = σ((s − E[s]) / √(Var[s] + ε))``, per unit.

    In training, E and Var are those of the batch (Var over B). Running averages follow the mean and
    the unbiased variance (over B − 1), as in batch norm. In evaluation, E and Var are the running
    averages, so a prediction does not depend on other rows. With several workers, the batch is that
    of all of them. Batches of at most one row use the
    running averages too and leave them unchanged. α is learnt and starts at 0. :func:`recops.dice`
    computes it.

    Source: Zhou et al., Deep Interest Network, KDD 2018, §5.2; ε 1e-8. DIEN's released code uses
    the batch's statistics in evaluation too (``always_batch``), with ε 1e-9.

    Args:
        width: number of units.
        momentum: weight of a batch in the running averages.
        eps: ε.
        always_batch: always use the batch's statistics. A prediction then depends on the other
            rows, and a single row has p = ½.

    Example:
        >>> import torch
        >>> from recops_models.layers.dice import Dice
        >>> dice = Dice(width=2)
        >>> dice(torch.tensor([[-1.0, 0.0], [1.0, 0.0]])).shape
        torch.Size([2, 2])
        >>> dice.running_mean.tolist()
        [0.0, 0.0]
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
        """Return ``[B, width]`` for ``[B, width]``."""
        if workers.several() and (self.training or self.always_batch):
            return self._with_all_workers(x)
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

    @workers.eager
    def _with_all_workers(self, x: Tensor) -> Tensor:
        """Return the output for this worker's rows, with the statistics of all workers' rows.

        Sums in float64 need one exchange; mean and variance lose no digits of float32.
        """
        wide = x.to(widest_dtype(x.device))
        rows = wide.new_full((1, wide.shape[1]), len(wide))
        sums = torch.stack([wide.sum(0), wide.square().sum(0)])
        total, squares, rows = workers.differentiable_total(torch.cat([sums, rows])).unbind()
        count = rows.clamp(min=1)
        mean = total / count
        var = (squares / count - mean.square()).clamp(min=0)
        has_statistics = rows > 1
        if self.always_batch:
            has_statistics = rows > 0
        else:
            self._follow_where(has_statistics, mean, var * count / (count - 1).clamp(min=1))
        mean = torch.where(has_statistics, mean, self.running_mean)
        var = torch.where(has_statistics, var, self.running_var)
        gate = ((wide - mean) * (var + self.eps).rsqrt()).sigmoid().to(x.dtype)
        return gate * x + (1 - gate) * self.alpha.to(x.dtype) * x

    @torch.no_grad()
    def _follow_where(self, condition: Tensor, mean: Tensor, var: Tensor) -> None:
        """Update the running averages with an unbiased variance, where ``condition`` holds."""
        weight = self.momentum * condition.to(self.running_mean.dtype)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        self.running_var.lerp_(var.to(self.running_var.dtype), weight)

    def _follow(self, mean: Tensor, var: Tensor, rows: int) -> None:
        """Update the running averages with a batch's mean and its variance over ``rows − 1``."""
        running_mean, running_var = self.running_mean, self.running_var
        if mean.dtype != running_mean.dtype:
            mean, var = mean.to(running_mean.dtype), var.to(running_var.dtype)
        running_mean.lerp_(mean, self.momentum)
        # m · B/(B − 1) = m + m/(B − 1); two fused updates are faster than a separate product.
        running_var.lerp_(var, self.momentum).add_(var, alpha=self.momentum / (rows - 1))
