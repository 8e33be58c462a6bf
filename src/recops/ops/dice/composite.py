"""Composite of Dice, and its gradients by autograd."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._dtypes import widened
from recops.ops._composite import vector_jacobian


def dice(
    x: Tensor, alpha: Tensor, mean: Tensor | None, var: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``recops::dice``. Reads and writes x several times, which a kernel does once."""
    if mean is None or var is None:
        mean, var = _statistics(widened(x))
    else:
        mean, var = mean.clone(), var.clone()  # outputs must not alias inputs
    return _activate(x, alpha, mean, var, eps), mean, var


def dice_backward(
    grad: Tensor, x: Tensor, alpha: Tensor, mean: Tensor, var: Tensor, eps: float, of_batch: bool
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of x and α. Recomputes the forward pass, as the kernel does."""

    def forward(values: Tensor, alpha: Tensor) -> list[Tensor]:
        statistics = _statistics(values) if of_batch else (mean, var)
        return [_activate(values, alpha, *statistics, eps)]

    values = widened(x)
    grad_x, grad_alpha = vector_jacobian(forward, [values, alpha], [grad.to(values.dtype)])
    return grad_x.to(x.dtype), grad_alpha


def _statistics(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each column, summed from differences to the first row."""
    rows = len(values)
    if rows == 0:
        zero = values.sum(0)
        return zero, zero.clone()
    first = values[0].detach()
    mean = first + (values - first).sum(0) / rows
    return mean, (values - mean).square().sum(0) / rows


def _activate(x: Tensor, alpha: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    values = widened(x)
    p = torch.sigmoid((values - mean) / (var + eps).sqrt())
    return (p * values + (1 - p) * alpha * values).to(x.dtype)
