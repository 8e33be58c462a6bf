"""Novelty and popularity bias of recommendations, and accuracy per group of users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.histories import Histories, Int64Array
from recops_models.data.splits import Examples
from recops_models.evaluation.metrics import Evaluation, gains, hits
from recops_models.settings import JsonObject
from recops_models.training.device import array

Float64Array = NDArray[np.float64]

CUTOFF = 10
"""Number of recommended items that the metrics count, k."""

POPULARITY_GROUPS = ("head", "mid", "tail")
"""Names of the groups of :func:`popularity_groups`."""

LENGTH_GROUPS = ("short", "medium", "long")
"""Names of the groups of :func:`length_groups`."""


def beyond_accuracy(items: Tensor, histories: Histories, counts: Int64Array) -> dict[str, float]:
    """Return novelty and popularity lift of the first 10 recommended items.

    With c(i) training events of item i, C in total, L(u) the list and H(u) the history of user u,
    and means over users:

    - ``novelty``: mean of mean_{i ∈ L(u)} −log₂(c(i) / C), in bits, the mean self-information of
      Zhou et al. 2010 (doi.org/10.1073/pnas.1000488107). An item without events counts as one with
      one event.
    - ``popularity_lift``: GAP(L) / GAP(H) − 1 with GAP(X) = mean of mean_{i ∈ X(u)} c(i), of
      Abdollahpouri et al. 2020 (doi.org/10.1145/3383313.3418487). 0: the lists are as popular as
      the histories; 1: twice as popular.

    Args:
        items: ``[U, k]`` i64, item indices, best first; −1 pads shorter lists.
        histories: U histories; unknown items are skipped.
        counts: ``[N]``, training events of each item.

    Returns:
        Values by name, NaN if undefined.

    Example:
        >>> past = Histories(np.array([0, 2]), np.array([0, 1]), np.array([0, 1]))
        >>> beyond_accuracy(torch.tensor([[2, -1]]), past, np.array([4, 2, 2]))
        {'novelty': 2.0, 'popularity_lift': -0.33333333333333337}
    """
    means = BeyondAccuracy(counts)
    means.add(items, histories)
    return means.metrics()


class BeyondAccuracy:
    """Novelty and popularity lift of users that come piece by piece.

    Args:
        counts: ``[N]``, training events of each item.
    """

    def __init__(self, counts: Int64Array) -> None:
        self._counts = counts
        self._information = np.log2(max(int(counts.sum()), 1)) - np.log2(np.maximum(counts, 1))
        self._novelty: list[Float64Array] = []
        self._recommended: list[Float64Array] = []
        self._past: list[Float64Array] = []

    def add(self, items: Tensor, histories: Histories) -> None:
        """Add users with their lists ``[U, k]`` and histories, see :func:`beyond_accuracy`."""
        lists = array(items[:, :CUTOFF])
        listed_by = np.repeat(np.arange(len(lists)), lists.shape[1])
        owners = np.repeat(np.arange(len(histories)), histories.lengths)
        self._novelty.append(_means(self._information, lists.ravel(), listed_by))
        self._recommended.append(_means(self._counts, lists.ravel(), listed_by))
        self._past.append(_means(self._counts, histories.items, owners))

    def metrics(self) -> dict[str, float]:
        """Return the metrics of all users so far."""
        recommended, past = _mean(self._recommended), _mean(self._past)
        return {
            "novelty": _mean(self._novelty),
            "popularity_lift": recommended / past - 1 if past else float("nan"),
        }


def accuracy_by_group(
    evaluation: Evaluation, examples: Examples, counts: Int64Array
) -> dict[str, JsonObject]:
    """Return HR@10 and NDCG@10 by popularity of the held-out item and by history length.

    Args:
        evaluation: the result of :func:`~recops_models.evaluation.metrics.evaluate`.
        examples: the evaluated examples, one held-out event per user.
        counts: ``[N]``, training events of each item.

    Returns:
        ``"item_popularity"`` and ``"history_length"``: group → ``users``, ``hr@10`` and
        ``ndcg@10``, None in an empty group. Groups of lengths also have ``events``, the smallest
        and largest length.
    """
    lengths, targets = examples.histories.lengths, examples.targets.items
    return rank_accuracy_by_group(evaluation.ranks, targets, lengths, counts)


def rank_accuracy_by_group(
    ranks: Tensor, targets: Int64Array, lengths: Int64Array, counts: Int64Array
) -> dict[str, JsonObject]:
    """Return :func:`accuracy_by_group` of ranks ``[U]``.

    Args:
        ranks: ``[U]`` i64, rank of each held-out item.
        targets: ``[U]`` i64, the held-out items.
        lengths: ``[U]`` i64, lengths of the histories.
        counts: ``[N]``, training events of each item.
    """
    by_popularity = popularity_groups(counts)[targets]
    by_length = length_groups(lengths)
    popularity = _accuracy(ranks, by_popularity, POPULARITY_GROUPS)
    length = _accuracy(ranks, by_length, LENGTH_GROUPS)
    for group, name in enumerate(LENGTH_GROUPS):
        members = lengths[by_length == group]
        length[name]["events"] = [int(members.min()), int(members.max())] if len(members) else None
    return {"item_popularity": popularity, "history_length": length}


def popularity_groups(counts: Int64Array) -> Int64Array:
    """Return the group of each item, ``[N]``: 0 head, 1 mid, 2 tail.

    Items are sorted by their events, most popular first; ties by index. The head starts at the
    first item, the mid group after a third of all events, and the tail after two thirds.

    Args:
        counts: ``[N]``, training events of each item.

    Example:
        >>> popularity_groups(np.array([1, 5, 3, 0])).tolist()
        [2, 0, 1, 2]
    """
    order = np.argsort(-counts, kind="stable")
    sorted_counts = counts[order]
    before = np.cumsum(sorted_counts) - sorted_counts
    groups = np.empty(len(counts), dtype=np.int64)
    groups[order] = np.minimum(3 * before // max(int(counts.sum()), 1), 2)
    return groups


def length_groups(lengths: Int64Array) -> Int64Array:
    """Return the group of each user, ``[U]``: 0 short, 1 medium, 2 long.

    The limits are the lengths at one third and two thirds of the sorted users. Users with equal
    lengths are in one group, so that groups may differ in size or be empty.

    Args:
        lengths: ``[U]``, events of each user.

    Example:
        >>> length_groups(np.array([3, 9, 4, 4, 20, 5])).tolist()
        [0, 2, 0, 0, 2, 1]
    """
    if not len(lengths):
        return np.empty(0, dtype=np.int64)
    limits = np.sort(lengths)[[(len(lengths) - 1) // 3, 2 * (len(lengths) - 1) // 3]]
    groups: Int64Array = (lengths[:, None] > limits).sum(1)
    return groups


def _accuracy(
    ranks: Tensor, groups: Int64Array, names: Sequence[str]
) -> dict[str, dict[str, object]]:
    accuracy: dict[str, dict[str, object]] = {}
    for group, name in enumerate(names):
        members = ranks[torch.from_numpy(groups == group)]
        accuracy[name] = {
            "users": len(members),
            "hr@10": float(array(hits(members, CUTOFF)).mean()) if len(members) else None,
            "ndcg@10": float(array(gains(members, CUTOFF)).mean()) if len(members) else None,
        }
    return accuracy


def _means(values: NDArray[np.generic], items: Int64Array, owners: Int64Array) -> Float64Array:
    """Return the mean value of each owner's items, without owners that have none.

    numpy adds on one thread, so the result does not depend on the number of threads.
    """
    known = items >= 0
    owners = owners[known]
    sums = np.bincount(owners, weights=values[items[known]])
    numbers = np.bincount(owners)
    means: Float64Array = sums[numbers > 0] / numbers[numbers > 0]
    return means


def _mean(parts: Sequence[Float64Array]) -> float:
    """Return the mean of all values; NaN if there are none."""
    values = np.concatenate(parts) if parts else np.empty(0)
    return float(values.mean()) if len(values) else float("nan")
