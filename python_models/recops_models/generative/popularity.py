"""Popularity: everyone is shown what most people met. The baseline that must be beaten."""

from __future__ import annotations

import torch
from torch import Tensor

from recops_models.data.histories import Histories
from recops_models.generative.ranker import (
    REQUESTS,
    Ranking,
    Recommender,
    concatenate,
    in_batches,
    items_met,
    top_unseen,
)


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
        order = places(self.counts)
        found = concatenate(
            [
                top_unseen(order.expand(len(some), -1), items_met(some), k)
                for some in in_batches(histories, REQUESTS)
            ],
            k,
        )
        return Ranking(found.items, self.counts[found.items].where(found.items >= 0, -torch.inf))


def places(counts: Tensor) -> Tensor:
    """``[N]`` f64 within (0, 1): higher the more popular, and of two that are as popular for the
    one with the smaller index. A sort by ``counts`` alone leaves that to the version of torch.
    """
    order = counts.argsort(descending=True, stable=True)
    falling = torch.arange(len(counts), 0, -1, dtype=torch.float64) / (len(counts) + 1)
    return torch.empty_like(falling).scatter_(0, order, falling)


def item_counts(histories: Histories, num_items: int) -> Tensor:
    """``[N]`` i64: how often each item stands in the histories."""
    return torch.bincount(torch.from_numpy(histories.items), minlength=num_items)
