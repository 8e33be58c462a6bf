from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recops_models.generative.item_softmax import item_softmax_loss

TARGET = torch.tensor([4, 0, 4])


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state, table, bias = (
        5 * torch.randn(shape, generator=generator, dtype=dtype) for shape in ((3, 4), (6, 4), (6,))
    )
    bias[2] = -torch.inf
    return state, table, bias


def by_torch(state: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(state, table, bias), TARGET, reduction="none")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_and_gradients_are_those_of_cross_entropy(dtype: torch.dtype) -> None:
    weight = torch.tensor([1.0, -2.0, 0.5], dtype=dtype)
    results = []
    for loss in (lambda *each: item_softmax_loss(*each, TARGET), by_torch):
        leaves = [each.requires_grad_() for each in inputs(dtype)]
        losses = loss(*leaves)
        results.append([losses, *torch.autograd.grad(losses, leaves, weight)])
    torch.testing.assert_close(*results)
    assert results[0][2][2].count_nonzero() == 0  # An excluded item has no gradient.


def test_gradcheck() -> None:
    state, table, bias = inputs()
    bias[2] = 0.0
    leaves = [(each / 5).requires_grad_() for each in (state, table, bias)]
    assert torch.autograd.gradcheck(lambda *each: item_softmax_loss(*each, TARGET), leaves)


def test_large_logits_do_not_overflow() -> None:
    table = torch.tensor([[1e4], [-1e4]])
    losses = item_softmax_loss(
        torch.tensor([[10.0]]), table, torch.zeros(2), target=torch.tensor([1])
    )
    torch.testing.assert_close(losses, torch.tensor([2e5]))


def test_under_autocast_products_are_in_the_lower_precision() -> None:
    state, table, bias = inputs(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(
            item_softmax_loss(state, table, bias, TARGET), by_torch(state, table, bias)
        )


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiles_with_the_same_gradient() -> None:
    leaves = [each.requires_grad_() for each in inputs(torch.float32)]
    compiled = torch.compile(item_softmax_loss, backend="aot_eager")
    expected = torch.autograd.grad(item_softmax_loss(*leaves, TARGET).sum(), leaves)
    torch.testing.assert_close(
        torch.autograd.grad(compiled(*leaves, TARGET).sum(), leaves), expected
    )
