"""Ranking metrics under full ranking: every item of the catalogue competes, none is sampled."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recops_models.data.splits import Examples
from recops_models.generative.ranker import Recommender
from recops_models.process import keep_freed_memory


class Evaluation(NamedTuple):
    """What a model recommended to each user of an evaluation, and where the held-out item stood.

    Attributes:
        items: ``[U, k]`` i64, item indices, best first; −1 where a list is shorter.
        ranks: ``[U]`` i64, the held-out item's place in its list, from 0; where absent
            :data:`LIST_LENGTH`, or ``k`` if lists are longer.
        metrics: ``hr@10``, ``hr@50``, ``ndcg@10`` and ``coverage``.
    """

    items: Tensor
    ranks: Tensor
    metrics: dict[str, float]


LIST_LENGTH = 50
"""Metrics look no further."""

RANKING_METRICS = ("hr@10", "hr@50", "ndcg@10", "coverage")
"""What :func:`ranking_metrics` gives."""


def evaluate(model: Recommender, examples: Examples, num_items: int) -> Evaluation:
    """Recommend 50 items to each user and look for the held-out one.

    Items of the user's own history are left out of the lists, for every model alike: where users
    meet an item once, as in ml-100k, recommending it again cannot be right.

    Args:
        model: any recommender.
        examples: one held-out event a user, as leave-one-out gives.
        num_items: size of the catalogue, for coverage.

    Raises:
        ValueError: a user has more than one held-out event.
    """
    if (examples.targets.lengths != 1).any():
        raise ValueError("evaluate: each user must have one held-out event, as leave-one-out gives")
    keep_freed_memory()
    items = model.recommend(examples.histories, LIST_LENGTH).items
    ranks = target_ranks(items, torch.from_numpy(examples.targets.items))
    return Evaluation(items, ranks, ranking_metrics(items, ranks, num_items))


def target_ranks(items: Tensor, targets: Tensor) -> Tensor:
    """``[U]`` i64: the place of ``targets [U]`` in ``items [U, k]``, from 0.

    Where absent it is k, or :data:`LIST_LENGTH` if that is more: a small catalogue makes short
    lists, and a miss at k < 50 would count as a hit among the first 50.
    """
    found = items == targets[:, None]
    return torch.where(found.any(1), found.int().argmax(1), max(items.shape[1], LIST_LENGTH))


def hits(ranks: Tensor, k: int) -> Tensor:
    """``[U]`` f64: 1 where the held-out item is among the first ``k``; its mean is HR@k."""
    return (ranks < k).double()


def gains(ranks: Tensor, k: int) -> Tensor:
    """``[U]`` f64: ``1 / log2(rank + 2)`` among the first ``k``, else 0; its mean is NDCG@k.

    With one relevant item the ideal gain is 1.
    """
    return (ranks < k) / torch.log2(ranks.double() + 2)


def ranking_metrics(items: Tensor, ranks: Tensor, num_items: int) -> dict[str, float]:
    """HR@10, HR@50, NDCG@10, and coverage: the share of the catalogue that some top 10 shows."""
    shown = items[:, :10].unique()
    return {
        "hr@10": hits(ranks, 10).mean().item(),
        "hr@50": hits(ranks, 50).mean().item(),
        "ndcg@10": gains(ranks, 10).mean().item(),
        "coverage": int((shown >= 0).sum()) / num_items,
    }
