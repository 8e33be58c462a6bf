"""Composite of Dice and its gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._dtypes import widened
from recops.ops._shapes import check_dim, check_shape


def dice(
    x: Tensor, alpha: Tensor, mean: Tensor | None, var: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``recops::dice``. Reads and writes x several times, which a kernel does once."""
    _check(x, alpha, mean, var)
    values = _values(x)
    if mean is None or var is None:
        mean, var = _statistics(values)
    else:
        mean, var = mean.clone(), var.clone()  # outputs must not alias inputs
    _, _, p = _gate(values, mean, var, eps)
    return (values * (alpha + (1 - alpha) * p)).to(x.dtype), mean, var


def dice_backward(
    grad: Tensor, x: Tensor, alpha: Tensor, mean: Tensor, var: Tensor, eps: float, of_batch: bool
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of x and α. Recomputes the gate, as the kernel does.

    The gradient through the statistics of the batch is written out. Autograd would not give exactly
    zero for a single row, whose gradients are divided by √eps.
    """
    _check(x, alpha, mean, var)
    check_shape("dice_backward", "grad", grad, *x.shape)
    values, grad = _values(x), _values(grad)
    scale, standardised, p = _gate(values, mean, var, eps)
    of_alpha = grad * values * (1 - p)
    of_gate = of_alpha * p * (1 - alpha)  # gradient of the standardised values
    direct = grad * (alpha + (1 - alpha) * p)
    if of_batch and len(values) > 0:
        through_var = standardised * (of_gate * standardised).mean(0)
        of_gate = of_gate - of_gate.mean(0) - through_var
    return (direct + scale * of_gate).to(x.dtype), of_alpha.sum(0)


def _check(x: Tensor, alpha: Tensor, mean: Tensor | None, var: Tensor | None) -> None:
    """Check that all columns of x have an α, and statistics if there are any."""
    check_dim("dice", "x", x, 2)
    for name, values in (("alpha", alpha), ("mean", mean), ("var", var)):
        if values is not None:
            check_shape("dice", name, values, x.shape[1])


def _values(x: Tensor) -> Tensor:
    """Return x widened and contiguous, so that strides do not change the order of a sum."""
    return widened(x).contiguous()


def _statistics(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each column, summed from differences to the first row."""
    rows = len(values)
    if rows == 0:
        zero = values.sum(0)
        return zero, zero.clone()
    first = values[0]
    mean = first + (values - first).sum(0) / rows
    return mean, (values - mean).square().sum(0) / rows


def _gate(values: Tensor, mean: Tensor, var: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the scale ``[N]``, and the standardised values and the gate p ``[B, N]``."""
    scale = (var + eps).rsqrt()
    standardised = (values - mean) * scale
    return scale, standardised, torch.sigmoid(standardised)
