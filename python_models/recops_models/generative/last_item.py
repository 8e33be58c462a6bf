"""Baseline: items ranked by how often they followed the last item of the history."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from scipy import sparse

from recops_models.data.histories import Histories
from recops_models.generative.popularity import item_counts, popularity_ranks
from recops_models.generative.ranker import (
    REQUESTS,
    Ranking,
    Recommender,
    check_lengths,
    concatenate,
    in_batches,
    seen_items,
    top_unseen,
)

_WINDOW = 3


class LastItem(Recommender):
    """Recommender by co-occurrence with the last item.

    The score of an item is how often it came at most three events after the history's last item in
    training. Ties go to the more popular item, then to the lower index.

    Args:
        train: training histories, or blocks of them.
        num_items: N.

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.last_item import LastItem
        >>> train = Histories(np.array([0, 3, 6]), np.array([0, 1, 2, 0, 1, 3]), np.arange(6))
        >>> request = Histories(np.array([0, 1]), items=np.array([0]), rows=np.array([0]))
        >>> LastItem(train, num_items=4).recommend(request, k=2).items
        tensor([[1, 2]])
    """

    def __init__(self, train: Histories | Iterable[Histories], num_items: int) -> None:
        super().__init__()
        follows = sparse.csr_matrix((num_items, num_items), dtype=np.float32)
        counts = torch.zeros(num_items, dtype=torch.int64)
        for block in [train] if isinstance(train, Histories) else train:
            counts += item_counts(block, num_items)
            for first, second in block.near(_WINDOW):
                pairs = (np.ones(len(first), dtype=np.float32), (first, second))
                follows = follows + sparse.coo_matrix(pairs, shape=follows.shape).tocsr()
        self._follows = follows
        # Ranks lie below 1 and counts are integers, so ranks only decide ties.
        self._ranks = popularity_ranks(counts)

    def recommend(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """Return the ``k`` best items after each history; see :meth:`Recommender.recommend`.

        Raises:
            ValueError: a history is empty.
        """
        parts = []
        for batch in in_batches(histories, REQUESTS):
            check_lengths("LastItem", torch.from_numpy(batch.lengths))
            last = batch.items[batch.offsets[1:] - 1]
            scores = torch.from_numpy(self._follows[last].toarray()) + self._ranks
            excluded = seen_items(batch) if exclude_seen else None
            parts.append(top_unseen(scores, excluded, k))
        return concatenate(parts, k)
