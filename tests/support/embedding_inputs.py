"""Bags and gradients for the tests of embedding bags."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

INDICES = [torch.int32, torch.int64]


def gradients(out: Tensor, weights: Sequence[Tensor], grad: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(out, weights, grad.to(out.dtype))


def example(dtype: torch.dtype = torch.float32) -> list[tuple[Tensor, Tensor]]:
    """Return a bag and single rows of one table, and a bag of another table."""
    item, user = (torch.randn(*size, dtype=dtype, requires_grad=True) for size in ((6, 5), (4, 3)))
    history, candidate = torch.tensor([[0, 5, 5], [2, 3, 0]]), torch.tensor([5, 2])
    return [(item, history), (user, torch.tensor([[1, 3], [0, 0]])), (item, candidate)]
