"""Recommenders that score the whole catalogue from a user's last events."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
from recops_models.generative.windows import last_windows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_MOST_SCORES = 1 << 24
"""Scores that a batch holds in memory at once."""


class HistoryScorer(Recommender):
    """Recommender that scores all items from the last ``window`` events, without training steps.

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.ease import EASE, EASEConfig
        >>> from recops_models.generative.history_scorer import HistoryScorer
        >>> histories = Histories(np.array([0, 3, 5]), np.array([0, 1, 2, 0, 1]), np.arange(5))
        >>> model: HistoryScorer = EASE.fit(histories, num_items=4, config=EASEConfig(l2=1.0))
        >>> model.recommend(histories, k=2).items.shape
        torch.Size([2, 2])
    """

    num_items: int

    @property
    @abstractmethod
    def window(self) -> int:
        """T, the number of events that are read."""

    @abstractmethod
    def score_all(self, history: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores of all items, ``[B, N]``.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0.
            lengths: ``[B]`` i64.
        """

    @abstractmethod
    def item_vectors(self) -> Tensor | csr_matrix:
        """Return vectors ``[N, d]``, dense or sparse; similar items have similar directions."""

    def decode(
        self, history: Tensor, lengths: Tensor, k: int, excluded: Sequence[Tensor] | None = None
    ) -> Ranking:
        """Return the ``k`` best items after each history.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0; T is at most ``window``.
            lengths: ``[B]`` i64.
            k: number of items.
            excluded: for each of the B histories the items (from 0) to exclude; None: exclude none.
        """
        return top_unseen(self.score_all(history, lengths), excluded, k)

    @torch.no_grad()
    def recommend(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """See :meth:`Recommender.recommend`."""
        size = max(1, min(REQUESTS, _MOST_SCORES // max(1, self.num_items)))
        device, parts = self.device, []
        for batch in in_batches(histories, size):
            longest = int(batch.lengths.max(initial=1))
            history, lengths = last_windows(batch, min(self.window, longest))
            excluded = seen_items(batch, device) if exclude_seen else None
            parts.append(self.decode(history.to(device), lengths.to(device), k, excluded))
        return concatenate(parts, k)
