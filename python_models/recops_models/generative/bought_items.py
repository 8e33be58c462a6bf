"""Baselines for data with repeats: the items of the history, by count or by recency."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from recops_models.data.histories import Histories
from recops_models.generative.popularity import popularity_ranks
from recops_models.generative.ranker import (
    REQUESTS,
    Ranking,
    Recommender,
    concatenate,
    in_batches,
    seen_items,
    top_unseen,
)
from recops_models.training.device import array


class BoughtItems(Recommender):
    """Recommender of the items of the history, then of the most popular other items.

    Args:
        counts: ``[N]``, training events of each item.
        by: order of the items of the history. ``"count"``: the number of events, ties by the last
            one; ``"recency"``: the last event.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.bought_items import BoughtItems
        >>> one_user = Histories(np.array([0, 3]), items=np.array([2, 2, 1]), rows=np.arange(3))
        >>> model = BoughtItems(torch.tensor([0, 1, 2, 0]), by="count")
        >>> model.recommend(one_user, k=3, exclude_seen=False).items
        tensor([[2, 1, 0]])
    """

    def __init__(self, counts: torch.Tensor, *, by: Literal["count", "recency"]) -> None:
        super().__init__()
        self._by = by
        self._ranks = array(popularity_ranks(counts).double())

    def recommend(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """Return the ``k`` best items after each history; see :meth:`Recommender.recommend`."""
        parts = []
        for batch in in_batches(histories, REQUESTS):
            excluded = seen_items(batch) if exclude_seen else None
            parts.append(top_unseen(self._scores(batch), excluded, k))
        return concatenate(parts, k)

    def _scores(self, histories: Histories) -> torch.Tensor:
        """Return scores ``[U, N]``: above 1 for items of the history, below 1 for others."""
        lengths = histories.lengths
        user = np.repeat(np.arange(len(histories)), lengths)
        position = np.arange(len(user)) - histories.offsets[user] + 1
        known = histories.items >= 0
        user, item, position = user[known], histories.items[known], position[known]
        scores = np.tile(self._ranks, (len(histories), 1))
        last = np.zeros(scores.shape)
        np.maximum.at(last, (user, item), position)
        if self._by == "recency":
            return torch.from_numpy(np.where(last > 0, 1 + last, scores))
        count = np.zeros(scores.shape)
        np.add.at(count, (user, item), 1)
        recency = last / (lengths[:, None] + 1)
        return torch.from_numpy(np.where(count > 0, count + recency, scores))
