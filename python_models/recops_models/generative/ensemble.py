"""Ensemble of recommenders, for example UniRecs with different tokenizations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, cast, get_args

import torch
from torch import Tensor, nn

from recops_models.data.histories import Histories
from recops_models.generative.ranker import Ranking, Recommender

Merge: TypeAlias = Literal["product", "mixture"]
"""How an :class:`Ensemble` combines scores."""


class Ensemble(Recommender):
    """Combined scores of the members' lists.

    Each member m lists its best items with scores s_m:

    - "product": ``s(i) = Σ_m max(0, s_m(i) − s_m(last of list m))``. An item that is missing from a
      list gets the score of the list's last item. Up to a constant per history, s is the sum of the
      members' scores: if scores are log-probabilities, the logarithm of their product.
    - "mixture": ``s(i) = ln Σ_m softmax(s_m)_i``, with the softmax over list m. A missing item has
      probability 0 there. An item that one member is sure of stays high, also if others miss it.

    Args:
        members: recommenders of one catalogue with scores on one scale.
        depth: number of items that each member lists. A longer list estimates the score of missing
            items better.
        merge: "product" or "mixture".

    Raises:
        ValueError: ``members`` is empty, ``depth`` < 1, or ``merge`` is unknown.

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

    def __init__(
        self, members: Sequence[Recommender], depth: int = 100, merge: Merge = "product"
    ) -> None:
        super().__init__()
        if not members:
            raise ValueError("Ensemble: members must be one or more, got none")
        if depth < 1:
            raise ValueError(f"Ensemble: depth must be 1 or more, got {depth}")
        if merge not in get_args(Merge):
            raise ValueError(f"Ensemble: merge must be product or mixture, got {merge!r}")
        self.members, self.depth, self.merge = nn.ModuleList(members), depth, merge

    @torch.no_grad()
    def recommend(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """Return the ``k`` best of the n listed items, in O(n log n) per user."""
        depth = max(k, self.depth)
        members = cast(Sequence[Recommender], self.members)
        options = {} if exclude_seen else {"exclude_seen": False}
        lists = [member.recommend(histories, depth, **options) for member in members]
        items = torch.cat([ranking.items for ranking in lists], 1)
        if self.merge == "product":
            gains = torch.cat([_above_last(ranking.scores) for ranking in lists], 1)
            return _best(items, gains, k, _sums)
        shares = torch.cat([_log_shares(ranking.scores) for ranking in lists], 1)
        return _best(items, shares, k, _log_sums)


def _above_last(scores: Tensor) -> Tensor:
    """Return ``scores [U, n]`` minus the smallest finite score of the row; 0 for −inf (no item)."""
    is_item = scores > -torch.inf
    last = scores.masked_fill(~is_item, torch.inf).amin(1, keepdim=True)
    return (scores - last).masked_fill(~is_item, 0)


def _log_shares(scores: Tensor) -> Tensor:
    """Return the log-softmax of ``scores [U, n]`` over the items of a row; −inf for no item."""
    total = scores.logsumexp(1, keepdim=True)
    return (scores - total).masked_fill(scores == -torch.inf, -torch.inf)


def _sums(values: Tensor, column: Tensor) -> Tensor:
    """Return the sums of ``values [U, n]`` by column."""
    return torch.zeros_like(values).scatter_add_(1, column, values)


def _log_sums(values: Tensor, column: Tensor) -> Tensor:
    """Return ``ln Σ exp`` of ``values [U, n]`` by column; −inf for a column without values."""
    highest = torch.full_like(values, -torch.inf).scatter_reduce_(1, column, values, "amax")
    shift = highest.where(highest > -torch.inf, 0)  # −inf − (−inf) would be NaN.
    return _sums((values - shift.gather(1, column)).exp(), column).log() + shift


def _best(
    items: Tensor, values: Tensor, k: int, merge: Callable[[Tensor, Tensor], Tensor]
) -> Ranking:
    """Return the ``k`` items with the largest merged values; ties go to the lowest index.

    Args:
        items: ``[U, n]``, item of each value; −1: no item.
        values: ``[U, n]``.
        k: number of items.
        merge: function of values and their columns ``[U, n]``, one column per distinct item.
    """
    items, order = items.sort(dim=1, stable=True)
    first = torch.ones_like(items, dtype=torch.bool)
    first[:, 1:] = items[:, 1:] != items[:, :-1]
    column = first.cumsum(1) - 1
    merged = merge(values.gather(1, order), column)
    distinct = torch.full_like(items, -1).scatter_(1, column, items)
    merged = merged.masked_fill(distinct < 0, -torch.inf)
    best = merged.sort(dim=1, descending=True, stable=True)
    return Ranking(distinct.gather(1, best.indices)[:, :k], best.values[:, :k])
