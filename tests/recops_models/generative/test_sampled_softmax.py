"""Sampled softmax: each part of the targets has its negatives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from recops_models.generative.sampled_softmax import negatives_shape, sampled_softmax_loss

NUM_ITEMS, WIDTH = 30, 4


@pytest.fixture
def table() -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(NUM_ITEMS, WIDTH + 1, dtype=torch.float64)


def loss(table: nn.Embedding, state: Tensor, target: Tensor, drawn: Tensor) -> Tensor:
    def look_up(item: Tensor) -> tuple[Tensor, Tensor]:
        vectors: Tensor = table(item)
        return vectors[:, :WIDTH], vectors[:, WIDTH]

    return sampled_softmax_loss(state, target, drawn, look_up, NUM_ITEMS)


@pytest.mark.parametrize(("targets", "negatives"), [(1, 1), (7, 3), (9, 3), (3, 8), (10, 4)])
def test_each_part_of_the_targets_has_its_own_negatives(
    table: nn.Embedding, targets: int, negatives: int
) -> None:
    state = torch.randn(targets, WIDTH, dtype=torch.float64)
    target = torch.randint(NUM_ITEMS, (targets,))
    groups, _ = shape = negatives_shape(targets, negatives)
    drawn = torch.randint(NUM_ITEMS, shape)
    drawn[:, 0] = target[0]  # At least one negative is ignored.
    losses = loss(table, state, target, drawn)
    size = math.ceil(targets / groups)
    assert size <= negatives
    weights = table.weight.detach()
    for row in range(targets):
        scores = (weights[:, :WIDTH] @ state[row] + weights[:, WIDTH]).exp()
        others = [item for item in drawn[row // size].tolist() if item != target[row]]
        total = scores[target[row]] + NUM_ITEMS / negatives * scores[others].sum()
        torch.testing.assert_close(losses[row].exp(), total / scores[target[row]])


def test_gradients_reach_states_and_only_the_items_in_use(table: nn.Embedding) -> None:
    state = torch.randn(5, WIDTH, dtype=torch.float64, requires_grad=True)
    target, drawn = torch.tensor([0, 1, 2, 3, 4]), torch.randint(10, 15, (3, 2))
    loss(table, state, target, drawn).sum().backward()
    assert state.grad is not None
    assert state.grad.any(1).all()
    assert table.weight.grad is not None
    used = set(table.weight.grad.any(1).nonzero()[:, 0].tolist())
    assert used == {0, 1, 2, 3, 4, *drawn.flatten().tolist()}


def test_a_batch_without_targets_has_no_losses(table: nn.Embedding) -> None:
    drawn = torch.zeros(negatives_shape(0, 3), dtype=torch.int64)
    state = torch.zeros(0, WIDTH, dtype=torch.float64)
    assert loss(table, state, torch.zeros(0, dtype=torch.int64), drawn).shape == (0,)
