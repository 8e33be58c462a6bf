"""Lists drawn without repetition, and the exact probabilities of their items."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor

from recops_models.exploration.drawing import draw_lists, list_propensities
from recops_models.exploration.selection import Greedy, Selection, Softmax
from recops_models.layers.counter_random import keys_of, uniform

SCORES = torch.tensor([0.2, 0.9, 0.5, 0.4])
SELECTIONS = [Greedy(0.3), Softmax(temperature=0.3), Softmax(0.2, 0.3)]
LISTS = torch.tensor(list(permutations(range(4), 2)))


def probabilities(selection: Selection) -> Tensor:
    """Return the probability of each of :data:`LISTS`."""
    scores = SCORES.expand(len(LISTS), -1)
    everything = torch.ones_like(scores, dtype=torch.bool)
    return list_propensities(selection, scores, everything, LISTS).prod(1)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_lists_are_as_frequent_as_their_propensities_say(selection: Selection) -> None:
    rows = 20_000
    scores = SCORES.expand(rows, -1)
    everything = torch.ones_like(scores, dtype=torch.bool)
    draws = uniform(keys_of(7, torch.arange(rows)), 2)
    lists, propensity = draw_lists(selection, scores, everything, draws)
    again = list_propensities(selection, scores[:50], everything[:50], lists[:50])
    assert torch.equal(propensity[:50], again)
    expected = probabilities(selection)
    assert float(expected.sum()) == pytest.approx(1)
    for pair, p in zip(LISTS, expected.tolist(), strict=True):
        share = float((lists == pair).all(1).double().mean())
        assert abs(share - p) < 4.5 * (p * (1 - p) / rows) ** 0.5


def test_a_softmax_draws_by_the_plackett_luce_model() -> None:
    weight = (SCORES.double() / 0.3).exp()
    first, second = weight[LISTS[:, 0]], weight[LISTS[:, 1]]
    expected = first / weight.sum() * second / (weight.sum() - first)
    assert torch.allclose(probabilities(Softmax(temperature=0.3)), expected)


def test_a_row_with_too_few_candidates_has_a_shorter_list() -> None:
    available = torch.tensor([[False, True, False, True], [True] * 4, [False] * 4])
    draws = torch.full((3, 3), 0.5)
    lists, propensity = draw_lists(Greedy(0.2), SCORES.expand(3, -1), available, draws)
    assert lists.tolist() == [[1, 3, -1], [1, 2, 3], [-1, -1, -1]]
    expected = torch.tensor([[0.9, 1, 0], [0.85, 0.8 + 0.2 / 3, 0.9], [0, 0, 0]])
    assert torch.allclose(propensity, expected.double())
