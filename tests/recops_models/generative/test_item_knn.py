"""Item-kNN equals its formula, orders ties at random and reads recent events more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from recops_models.data.histories import Histories
from recops_models.generative.item_knn import ItemKNN, ItemKNNConfig

HISTORIES = [[0, 1, 2, 0], [1, 2, 3], [4, 1], [2]]
ITEMS = 6


def histories_of(lists: list[list[int]]) -> Histories:
    offsets = np.cumsum([0, *map(len, lists)])
    items = np.array([item for each in lists for item in each], dtype=np.int64)
    return Histories(offsets, items, np.arange(len(items)))


def similarities(config: ItemKNNConfig) -> Tensor:
    """Return s_ij by the formula, pair by pair."""
    counts = torch.zeros(ITEMS, ITEMS, dtype=torch.float64)
    events = torch.zeros(ITEMS, dtype=torch.float64)
    for history in HISTORIES:
        for position, item in enumerate(history):
            events[item] += 1
            later = history[position + 1 : position + 1 + config.window]
            for distance, other in enumerate(later, 1):
                if other != item:
                    counts[item, other] += distance**-config.distance
                    if config.direction == "both":
                        counts[other, item] += config.backward * distance**-config.distance
    events = events.clamp(min=1)
    norm = events[:, None] ** config.normalization * events**config.candidate_normalization
    shrunk = counts / (counts + config.shrinkage).clamp(min=1e-300)
    return shrunk * counts / norm


@pytest.mark.parametrize("direction", ["both", "forward"])
@pytest.mark.parametrize("normalization", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("window", [1, 3])
def test_scores_follow_the_formula(direction: str, normalization: float, window: int) -> None:
    config = ItemKNNConfig(
        window=window,
        shrinkage=2.0,
        normalization=normalization,
        decay=0.5,
        direction=direction,
        candidate_normalization=0.3,
        distance=0.7,
        backward=0.3,
    )
    model = ItemKNN.fit(histories_of(HISTORIES), ITEMS, config, seed=0)
    history = torch.tensor([[2, 3, 0], [4, 4, 2]])  # Items 1, 2; items 3, 3, 1.
    scores = model.score_all(history, torch.tensor([2, 3]))
    s = similarities(config)
    expected = torch.stack([0.5 * s[1] + s[2], 0.25 * s[3] + 0.5 * s[3] + s[1]])
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)


def test_only_the_most_similar_items_are_kept() -> None:
    config = ItemKNNConfig(neighbours=1, shrinkage=0.0)
    model = ItemKNN.fit(histories_of(HISTORIES), ITEMS, config, seed=0)
    s = similarities(config)
    assert model.neighbours.shape == (ITEMS, 1)
    for item in range(ITEMS):
        neighbour = int(model.neighbours[item, 0])
        assert (neighbour == -1) == bool(s[item].max() == 0)
        assert neighbour == -1 or s[item, neighbour] == s[item].max()


def test_equal_scores_are_ordered_by_the_seed() -> None:
    lists = histories_of([[0, item] for item in range(1, 40)])
    orders = []
    for seed in (0, 0, 1):
        model = ItemKNN.fit(lists, 40, ItemKNNConfig(), seed=seed)
        orders.append(model.recommend(histories_of([[0]]), 39).items[0].tolist())
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert sorted(orders[0]) == list(range(1, 40))


def test_the_matrix_is_built_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = ItemKNN.fit(histories_of(HISTORIES), ITEMS, ItemKNNConfig(), seed=0)
    monkeypatch.setattr("recops_models.generative.item_knn._ROWS", 2)
    pieces = ItemKNN.fit(histories_of(HISTORIES), ITEMS, ItemKNNConfig(), seed=0)
    assert torch.equal(at_once.neighbours, pieces.neighbours)
    assert torch.equal(at_once.similarities, pieces.similarities)


@pytest.mark.parametrize(
    "settings",
    [
        *({"window": 0}, {"decay": 0.0}, {"decay": 1.5}, {"normalization": 2.0}),
        *({"distance": -1.0}, {"backward": 1.5}, {"candidate_normalization": -0.1}),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"item-knn: {next(iter(settings))} must be"):
        ItemKNNConfig(**settings)
