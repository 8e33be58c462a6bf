from __future__ import annotations

import numpy as np
import torch

from recops_models.generative.popularity import Popularity, item_counts
from synthetic_histories import histories


def test_items_are_counted_ranked_and_excluded_if_in_the_history() -> None:
    past = histories([np.array([2, 2, 1]), np.array([2, 3]), np.array([], dtype=int)])
    counts = item_counts(past, 5)
    assert counts.tolist() == [0, 1, 3, 1, 0]
    ranking = Popularity(counts).recommend(past, 5)
    assert ranking.items[0].tolist()[0] == 3
    assert ranking.items[1].tolist()[0] == 1
    assert ranking.items[2].tolist()[0] == 2
    assert (ranking.items[0] == -1).sum() == 2  # two of the five items are in the history
    assert torch.isneginf(ranking.scores[0, 3:]).all()


def test_ties_are_ranked_by_index() -> None:
    past = histories([np.array([3])])
    ranking = Popularity(torch.ones(2000)).recommend(past, 50)
    assert ranking.items[0].tolist() == [0, 1, 2, *range(4, 51)]
    assert (ranking.scores == 1).all()


def test_lists_are_padded_to_k_items() -> None:
    ranking = Popularity(torch.ones(3)).recommend(histories([np.array([0]), np.array([1])]), 5)
    assert ranking.items.tolist() == [[1, 2, -1, -1, -1], [0, 2, -1, -1, -1]]
    assert torch.isneginf(ranking.scores[:, 2:]).all()
    empty = Popularity(torch.ones(3)).recommend(histories([]), 5)
    assert empty.items.shape == empty.scores.shape == (0, 5)


def test_an_event_of_an_unknown_item_excludes_nothing() -> None:
    ranking = Popularity(torch.ones(3)).recommend(histories([np.array([0, -1])]), 2)
    assert ranking.items.tolist() == [[1, 2]]
