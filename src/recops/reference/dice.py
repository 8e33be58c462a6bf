"""Reference of Dice; see :mod:`recops.ops.dice`."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._dtypes import widened


def dice(
    x: Tensor,
    alpha: Tensor,
    mean: Tensor | None = None,
    var: Tensor | None = None,
    *,
    eps: float = 1e-8,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute :func:`recops.dice` in PyTorch."""
    values = widened(x)
    if mean is None or var is None:
        rows = max(len(x), 1)
        mean = values.sum(0) / rows
        var = (values - mean).square().sum(0) / rows
    else:
        mean, var = widened(mean).detach(), widened(var).detach()
    p = torch.sigmoid((values - mean) / (var + eps).sqrt())
    out = p * values + (1 - p) * alpha * values
    return out.to(x.dtype), mean.detach(), var.detach()
