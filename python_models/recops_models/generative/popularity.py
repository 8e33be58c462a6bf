"""Popularity baseline: items ranked by their number of training events."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops._dtypes import widest_dtype
from recops_models.data.histories import Histories
from recops_models.generative.item_rows import rows_or
from recops_models.generative.ranker import (
    REQUESTS,
    Ranking,
    Recommender,
    concatenate,
    in_batches,
    seen_items,
    top_unseen,
)


class Popularity(Recommender):
    """Recommender that scores an item by its number of training events.

    Args:
        counts: ``[N]``, training events per item.

    Example:
        >>> import torch
        >>> from recops_models.generative.popularity import Popularity
        >>> Popularity(torch.tensor([9, 5, 7])).decode(excluded=[torch.tensor([0])], k=2)
        Ranking(items=tensor([[2, 1]]), scores=tensor([[7., 5.]]))
    """

    counts: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.num_items = len(counts)
        self.register_buffer("counts", counts.float())

    def recommend(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """Return the ``k`` most popular items; ties by index. See :meth:`Recommender.recommend`."""
        device = self.counts.device
        nothing = torch.empty(0, dtype=torch.int64, device=device)
        parts = [
            self.decode(seen_items(batch, device) if exclude_seen else [nothing] * len(batch), k)
            for batch in in_batches(histories, REQUESTS)
        ]
        return concatenate(parts, k)

    def with_items(self, rows: Tensor) -> Popularity:
        """See :meth:`Recommender.with_items`; a new item has no events."""
        return Popularity(rows_or(self.counts, rows, 0))

    def decode(self, excluded: Sequence[Tensor], k: int) -> Ranking:
        """Return the ``k`` most popular items for each request; scores are numbers of events.

        Args:
            excluded: for each request the items (from 0) to exclude.
            k: number of items.
        """
        ranks = popularity_ranks(self.counts)
        ranking = top_unseen(ranks.expand(len(excluded), -1), excluded, k)
        counts = self.counts[ranking.items].where(ranking.items >= 0, -torch.inf)
        return Ranking(ranking.items, counts)


def popularity_ranks(counts: Tensor) -> Tensor:
    """Return distinct values in (0, 1), ``[N]``, in ascending order of popularity.

    They are f64, or f32 on a device without float64, where they are distinct up to 2²³ items. Of
    two items with equal counts the one with the lower index gets the higher value. The order of
    ties in ``torch.topk`` on counts depends on the version of torch.

    Example:
        >>> import torch
        >>> from recops_models.generative.popularity import popularity_ranks
        >>> popularity_ranks(torch.tensor([5, 9, 5]))
        tensor([0.5000, 0.7500, 0.2500], dtype=torch.float64)
    """
    order = counts.argsort(descending=True, stable=True)
    dtype, device = widest_dtype(counts.device), counts.device
    falling = torch.arange(len(counts), 0, -1, dtype=dtype, device=device) / (len(counts) + 1)
    return torch.empty_like(falling).scatter_(0, order, falling)


def item_counts(histories: Histories, num_items: int) -> Tensor:
    """Return the number of events of each item, ``[N]`` i64.

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.popularity import item_counts
        >>> histories = Histories(np.array([0, 2, 3]), items=np.array([2, 0, 2]), rows=np.arange(3))
        >>> item_counts(histories, num_items=4)
        tensor([1, 0, 2, 0])
    """
    return torch.bincount(torch.from_numpy(histories.items), minlength=num_items)
