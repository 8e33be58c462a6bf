"""Co-occurrence with the last item: what followed it, as far as counting tells."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from recops_models.data.histories import Histories
from recops_models.generative.popularity import item_counts, places
from recops_models.generative.ranker import (
    REQUESTS,
    Ranking,
    Recommender,
    check_lengths,
    concatenate,
    in_batches,
    items_met,
    top_unseen,
)

_WINDOW = 3


class LastItem(Recommender):
    """Ranks by how often an item came at most three events behind the history's last item; ties,
    and what never did, by popularity, and of equal popularity by item index.

    Args:
        train: the histories that are counted.
        num_items: N.
    """

    def __init__(self, train: Histories, num_items: int) -> None:
        super().__init__()
        follows = sparse.csr_matrix((num_items, num_items), dtype=np.float32)
        for first, second in train.near(_WINDOW):
            pairs = (np.ones(len(first), dtype=np.float32), (first, second))
            follows = follows + sparse.coo_matrix(pairs, shape=follows.shape).tocsr()
        self._follows = follows
        self._popularity = places(item_counts(train, num_items))  # Below 1: it decides ties alone.

    def recommend(self, histories: Histories, k: int) -> Ranking:
        """The ``k`` best items of each history, none of which is in it.

        Raises:
            ValueError: a history is empty.
        """
        parts = []
        for some in in_batches(histories, REQUESTS):
            check_lengths("LastItem", torch.from_numpy(some.lengths))
            last = some.items[some.offsets[1:] - 1]
            scores = torch.from_numpy(self._follows[last].toarray()) + self._popularity
            parts.append(top_unseen(scores, items_met(some), k))
        return concatenate(parts, k)
