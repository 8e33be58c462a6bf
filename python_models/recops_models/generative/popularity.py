"""Popularity: everyone is shown what most people met. The baseline that must be beaten."""

from __future__ import annotations

import torch
from torch import Tensor

from recops_models.data.histories import Histories
from recops_models.generative.ranker import Ranking, Recommender, items_met, top_unseen


class Popularity(Recommender):
    """Scores an item by its number of training events.

    Args:
        counts: ``[N]``, events per item.
    """

    counts: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.register_buffer("counts", counts.float())

    def recommend(self, histories: Histories, k: int) -> Ranking:
        """The most popular ``k`` items that each user has not met; ties by item index."""
        return top_unseen(self.counts.expand(len(histories), -1), items_met(histories), k)


def item_counts(histories: Histories, num_items: int) -> Tensor:
    """``[N]`` i64: how often each item stands in the histories."""
    return torch.bincount(torch.from_numpy(histories.items), minlength=num_items)
