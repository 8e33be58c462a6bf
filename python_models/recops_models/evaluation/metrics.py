"""Ranking metrics on the full catalogue, without sampled negatives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recops_models import workers
from recops_models.data.splits import Examples
from recops_models.generative.ranker import Recommender
from recops_models.process import keep_freed_memory
from recops_models.training.device import number


class Evaluation(NamedTuple):
    """Recommendations to each user, ranks of the held-out items, and metrics.

    Attributes:
        items: ``[U, k]`` i64, item indices, best first; −1 pads shorter lists.
        ranks: ``[U]`` i64, rank of the held-out item in its list, from 0. If it is absent: the
            larger of ``k`` and :data:`LIST_LENGTH`.
        metrics: ``hr@10``, ``hr@50``, ``ndcg@10`` and ``coverage``.
    """

    items: Tensor
    ranks: Tensor
    metrics: dict[str, float]


LIST_LENGTH = 50
"""Length of the evaluated lists."""

RANKING_METRICS = ("hr@10", "hr@50", "ndcg@10", "coverage")
"""Names of the metrics of :func:`ranking_metrics`."""


def evaluate(
    model: Recommender, examples: Examples, num_items: int, *, exclude_seen: bool = True
) -> Evaluation:
    """Recommend 50 items to each user, and compute ranking metrics of the held-out item.

    With ``exclude_seen``, the lists leave out the items of the user's history, so a held-out event
    with such an item is a miss. In data with at most one event per user and item, such as ml-100k,
    there are none.

    Args:
        model: any recommender.
        examples: one held-out event per user, as from leave-one-out.
        num_items: size of the catalogue, for coverage.
        exclude_seen: see :meth:`~recops_models.generative.ranker.Recommender.recommend`.

    Raises:
        ValueError: a user has more than one held-out event.
    """
    if (examples.targets.lengths != 1).any():
        raise ValueError("evaluate: each user must have one held-out event, as in leave-one-out")
    keep_freed_memory()
    # A recommender that always excludes them need not have the option.
    options = {} if exclude_seen else {"exclude_seen": False}
    items = model.recommend(examples.histories, LIST_LENGTH, **options).items
    ranks = target_ranks(items, torch.from_numpy(examples.targets.items))
    return Evaluation(items, ranks, ranking_metrics(items, ranks, num_items))


def target_ranks(items: Tensor, targets: Tensor) -> Tensor:
    """Return the rank ``[U]`` i64 of ``targets [U]`` in ``items [U, k]``, from 0.

    The rank of an absent target is max(k, :data:`LIST_LENGTH`). In a small catalogue k is below 50,
    and a rank of k would count as a hit among the first 50.
    """
    is_target = items == targets[:, None]
    absent = max(items.shape[1], LIST_LENGTH)
    return torch.where(is_target.any(1), is_target.int().argmax(1), absent)


def hits(ranks: Tensor, k: int) -> Tensor:
    """Return 1 for ranks below ``k``, else 0: ``[U]`` f64 with mean HR@k."""
    return (ranks < k).double()


def gains(ranks: Tensor, k: int) -> Tensor:
    """Return ``1 / log2(rank + 2)`` for ranks below ``k``, else 0: ``[U]`` f64 with mean NDCG@k.

    With one relevant item the ideal gain is 1.
    """
    return (ranks < k) / torch.log2(ranks.double() + 2)


def ranking_metrics(items: Tensor, ranks: Tensor, num_items: int) -> dict[str, float]:
    """Return HR@10, HR@50, NDCG@10 and coverage, the share of the catalogue in any top 10.

    With several workers, the metrics are those of all workers' users.
    """
    return metrics_of_ranks(ranks, shown_items(items), num_items)


def metrics_of_ranks(ranks: Tensor, shown: Tensor, num_items: int) -> dict[str, float]:
    """Return :func:`ranking_metrics` from the ranks and the result of :func:`shown_items`."""
    return {
        "hr@10": number(workers.mean(hits(ranks, 10))),
        "hr@50": number(workers.mean(hits(ranks, 50))),
        "ndcg@10": number(workers.mean(gains(ranks, 10))),
        "coverage": _num_shown(shown, num_items) / num_items,
    }


def shown_items(items: Tensor) -> Tensor:
    """Return the distinct items in the first 10 of ``items [U, k]``; −1 is no item."""
    items = items[:, :10].unique()
    return items[items >= 0]


def _num_shown(items: Tensor, num_items: int) -> int:
    """Return the number of distinct items of all workers."""
    if not workers.several():
        return len(items)
    shown = torch.zeros(num_items, dtype=torch.int32)
    shown[items] = 1
    return int((workers.total(shown) > 0).sum())
