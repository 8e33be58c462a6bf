"""Events and popularity behind the hits of item-kNN."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("pyarrow", reason="the evidence needs recops[models]")

from recops_evidence.league.knn_hits import knn_hits
from recops_models.data.histories import Histories
from recops_models.data.splits import Examples
from recops_models.generative.item_knn import ItemKNN, ItemKNNConfig


def _histories(*each: list[int]) -> Histories:
    items = np.array([item for items in each for item in items])
    return Histories(np.cumsum([0, *map(len, each)]), items, np.arange(len(items)))


def test_figures_of_four_targets() -> None:
    """Item 0 is similar to 1 and 2, item 3 to 4; item 5 is similar to nothing."""
    neighbours = torch.tensor([[1, 2], [0, -1], [0, -1], [4, -1], [3, -1], [-1, -1]])
    model = ItemKNN(neighbours, (neighbours >= 0).float(), torch.zeros(6), ItemKNNConfig(history=2))
    histories = _histories([1, 2], [1, 3], [0, 3, 5], [4])
    examples = Examples(np.arange(4), histories, _histories([0], [0], [1], [5]))
    counts = np.array([9, 1, 1, 1, 1, 3])
    figures = knn_hits(model, examples, np.array([True, True, False, False]), counts)
    assert figures.hit_rate == 0.5
    # The window of the third target holds 3 and 5; the fourth target is similar to nothing.
    assert figures.unreachable == 0.5
    assert figures.older == 0.5
    assert figures.several == 0.5
    assert figures.popular == 0.0
    assert figures.by_popularity == (0.0, 0.0, 1.0, 0.0)
