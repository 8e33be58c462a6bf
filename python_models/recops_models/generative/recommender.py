"""What every recommender offers, and what the trainer needs of those that learn by gradient."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from recops_models.data import Histories


class Ranking(NamedTuple):
    """The best items of each user, best first; −1 with score −inf where there are no more.

    Attributes:
        items: ``[U, k]`` i64, item indices.
        scores: ``[U, k]`` f32.
    """

    items: Tensor
    scores: Tensor


class Recommender(Protocol):
    """Ranks the catalogue for a user, given what the user met."""

    def recommend(self, histories: Histories, k: int) -> Ranking:
        """The best ``k`` items of each history, none of which is in it."""
        ...


def top_unseen(scores: Tensor, histories: Histories, k: int) -> Ranking:
    """The ``k`` best of ``scores [U, N]``, without what each user's history holds."""
    user = torch.repeat_interleave(torch.from_numpy(histories.lengths))
    scores = scores.index_put((user, torch.from_numpy(histories.items)), torch.tensor(-torch.inf))
    best = scores.topk(min(k, scores.shape[1]))
    return Ranking(best.indices.masked_fill(best.values == -torch.inf, -1), best.values)


def concatenate(parts: list[Ranking]) -> Ranking:
    """Rankings of batches of users as one."""
    return Ranking(
        torch.cat([part.items for part in parts]), torch.cat([part.scores for part in parts])
    )
