"""Several rankers as one: UniRec over several tokenizations, say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from recops_models.data.histories import Histories
from recops_models.generative.ranker import Ranking, Recommender


class Ensemble(Recommender):
    """``s(i) = Σ_m max(0, s_m(i) − s_m(last of list m))`` over the members' lists.

    An item that a member did not list counts as its last one: up to a constant of the history this
    is the sum of the members' scores, the product of their probabilities where scores are
    log-probabilities. No member is asked about items that it did not find.

    Args:
        members: of one catalogue; their scores are of one scale.
        depth: how many items each one lists; more than the ``k`` that is asked for tell better what
            a missing item is worth.

    Raises:
        ValueError: no member, or no depth.

    Examples:
        >>> import numpy as np
        >>> import torch
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.popularity import Popularity
        >>> members = [Popularity(torch.tensor(n)) for n in ([9, 5, 4, 0], [0, 1, 8, 7])]
        >>> one_user = Histories(np.array([0, 1]), np.array([0]), np.array([0]))
        >>> Ensemble(members, depth=3).recommend(one_user, 2)  # Item 0 is met.
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
    def recommend(self, histories: Histories, k: int) -> Ranking:
        """The best ``k`` of all that the members list, O(n log n) in their number for each user."""
        depth = max(k, self.depth)
        members = cast(Sequence[Recommender], self.members)
        lists = [member.recommend(histories, depth) for member in members]
        items = torch.cat([found.items for found in lists], 1)
        gains = torch.cat([_above_the_last(found.scores) for found in lists], 1)
        return _best_sums(items, gains, k)


def _above_the_last(scores: Tensor) -> Tensor:
    """``[U, n]``: ``scores``, −inf where there is no item, less the row's least; 0 for no item."""
    there = scores > -torch.inf
    last = scores.masked_fill(~there, torch.inf).amin(1, keepdim=True)
    return (scores - last).masked_fill(~there, 0)


def _best_sums(items: Tensor, gains: Tensor, k: int) -> Ranking:
    """The ``k`` items of the largest sums of ``gains [U, n]``; −1 in ``items`` is none; ties by
    item.
    """
    items, order = items.sort(dim=1, stable=True)
    first = torch.ones_like(items, dtype=torch.bool)
    first[:, 1:] = items[:, 1:] != items[:, :-1]
    place = first.cumsum(1) - 1  # of an item's own sum
    sums = torch.zeros_like(gains).scatter_add_(1, place, gains.gather(1, order))
    own = torch.full_like(items, -1).scatter_(1, place, items)
    sums = sums.masked_fill(own < 0, -torch.inf)
    best = sums.sort(dim=1, descending=True, stable=True)
    return Ranking(own.gather(1, best.indices)[:, :k], best.values[:, :k])
