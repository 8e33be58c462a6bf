"""Ensemble of recommenders, for example UniRecs with different tokenizations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from recops_models.data.histories import Histories
from recops_models.generative.ranker import Ranking, Recommender


class Ensemble(Recommender):
    """Sum of the members' scores: ``s(i) = Σ_m max(0, s_m(i) − s_m(last of list m))``.

    Each member lists its best items. An item that is missing from a list gets the score of the
    list's last item. Up to a constant per history, s is the sum of the members' scores: if scores
    are log-probabilities, the logarithm of their product.

    Args:
        members: recommenders of one catalogue with scores on one scale.
        depth: number of items that each member lists. A longer list estimates the score of missing
            items better.

    Raises:
        ValueError: ``members`` is empty, or ``depth`` < 1.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.ensemble import Ensemble
        >>> from recops_models.generative.popularity import Popularity
        >>> members = [Popularity(torch.tensor(n)) for n in ([9, 5, 4, 0], [0, 1, 8, 7])]
        >>> one_user = Histories(np.array([0, 1]), np.array([0]), np.array([0]))
        >>> Ensemble(members, depth=3).recommend(one_user, 2)  # item 0 is in the history
        Ranking(items=tensor([[2, 3]]), scores=tensor([[11.,  6.]]))
    """

    def __init__(self, members: Sequence[Recommender], depth: int = 100) -> None:
        super().__init__()
        if not members:
            raise ValueError("Ensemble: members must be one or more, got none")
        if depth < 1:
            raise ValueError(f"Ensemble: depth must be 1 or more, got {depth}")
        self.members, self.depth = nn.ModuleList(members), depth

    @torch.no_grad()
    def recommend(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """Return the ``k`` best of the n listed items, in O(n log n) per user."""
        depth = max(k, self.depth)
        members = cast(Sequence[Recommender], self.members)
        options = {} if exclude_seen else {"exclude_seen": False}
        lists = [member.recommend(histories, depth, **options) for member in members]
        items = torch.cat([ranking.items for ranking in lists], 1)
        gains = torch.cat([_above_last(ranking.scores) for ranking in lists], 1)
        return _best_sums(items, gains, k)


def _above_last(scores: Tensor) -> Tensor:
    """Return ``scores [U, n]`` minus the smallest finite score of the row; 0 for −inf (no item)."""
    is_item = scores > -torch.inf
    last = scores.masked_fill(~is_item, torch.inf).amin(1, keepdim=True)
    return (scores - last).masked_fill(~is_item, 0)


def _best_sums(items: Tensor, gains: Tensor, k: int) -> Ranking:
    """Return the ``k`` items with the largest sums of gains; ties go to the lowest index.

    Args:
        items: ``[U, n]``, item of each gain; −1: no item.
        gains: ``[U, n]``.
        k: number of items.
    """
    items, order = items.sort(dim=1, stable=True)
    first = torch.ones_like(items, dtype=torch.bool)
    first[:, 1:] = items[:, 1:] != items[:, :-1]
    column = first.cumsum(1) - 1  # one column per distinct item
    sums = torch.zeros_like(gains).scatter_add_(1, column, gains.gather(1, order))
    distinct = torch.full_like(items, -1).scatter_(1, column, items)
    sums = sums.masked_fill(distinct < 0, -torch.inf)
    best = sums.sort(dim=1, descending=True, stable=True)
    return Ranking(distinct.gather(1, best.indices)[:, :k], best.values[:, :k])
