"""Popularity baseline: items ranked by their number of training events."""

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
    seen_items,
    top_unseen,
)
from recops_models.layers.precision import widest_float


class Popularity(Recommender):
    """Recommender that scores an item by its number of training events.

    Args:
        counts: ``[N]``, training events per item.
    """

    counts: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.register_buffer("counts", counts.float())

    def recommend(self, histories: Histories, k: int) -> Ranking:
        """Return the ``k`` most popular items that are not in each history; ties by item index."""
        ranks, device = popularity_ranks(self.counts), self.counts.device
        parts = []
        for batch in in_batches(histories, REQUESTS):
            items, _ = top_unseen(ranks.expand(len(batch), -1), seen_items(batch, device), k)
            parts.append(Ranking(items, self.counts[items].where(items >= 0, -torch.inf)))
        return concatenate(parts, k)


def popularity_ranks(counts: Tensor) -> Tensor:
    """Return distinct values in (0, 1), ``[N]``, in ascending order of popularity.

    They are f64, or f32 on a device without float64, where they are distinct up to 2²³ items. Of
    two items with equal counts the one with the lower index gets the higher value. The order of
    ties in ``torch.topk`` on counts depends on the version of torch.
    """
    order = counts.argsort(descending=True, stable=True)
    dtype, device = widest_float(counts.device), counts.device
    falling = torch.arange(len(counts), 0, -1, dtype=dtype, device=device) / (len(counts) + 1)
    return torch.empty_like(falling).scatter_(0, order, falling)


def item_counts(histories: Histories, num_items: int) -> Tensor:
    """Return the number of events of each item, ``[N]`` i64."""
    return torch.bincount(torch.from_numpy(histories.items), minlength=num_items)
