"""Operands and results for the tests of Dice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import recops
from tolerances import wide

either = pytest.mark.parametrize("of_batch", [True, False], ids=["batch", "given"])


def make(
    rows: int = 9,
    columns: int = 21,
    *,
    of_batch: bool = True,
    dtype: torch.dtype = torch.float32,
    params: torch.dtype | None = None,
    seed: int = 0,
) -> list[Tensor]:
    """Return x, alpha, and without ``of_batch`` mean and var; columns differ in spread."""
    random = torch.Generator().manual_seed(seed)

    def values(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    x = values(rows, columns) * (1 + values(columns).abs()) + values(columns)
    others = [values(columns)]
    if not of_batch:
        others += [values(columns), 0.1 + values(columns).abs()]
    params = params or wide(dtype)
    return [x.to(dtype), *(each.to(params) for each in others)]


def results(
    operands: list[Tensor],
    function: Callable[..., tuple[Tensor, Tensor, Tensor]] = recops.dice,
    dtype: torch.dtype | None = None,
) -> list[Tensor]:
    """Return out, mean, var, and the gradients of x and alpha."""
    x, alpha, *statistics = (each.to(dtype or each.dtype) for each in operands)
    leaves = [leaf.detach().requires_grad_() for leaf in (x, alpha)]
    out, *moments = function(*leaves, *statistics)
    random = torch.Generator().manual_seed(1)
    weight = torch.randn(x.shape, generator=random, dtype=torch.float64)
    weight = weight.to(operands[0].dtype).to(x.dtype)
    gradients = torch.autograd.grad(out, leaves, weight)
    return [out.detach(), *moments, *gradients]
