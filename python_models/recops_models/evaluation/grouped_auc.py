"""AUC over all examples, and within groups of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class GroupedAuc(NamedTuple):
    """AUC within groups.

    Attributes:
        value: the mean over groups, weighted by their examples; NaN where no group has both labels.
        groups: how many groups it is the mean of.
        left_out: how many groups have one label alone, hence no AUC.
    """

    value: float
    groups: int
    left_out: int


def auc(scores: NDArray[np.floating], label: NDArray[np.bool_]) -> float:
    """The share of (click, no click) pairs that scores put in order; a tie counts half.

    NaN where one of the two is missing. O(N log N).
    """
    return grouped_auc(scores, label, np.zeros(len(scores), dtype=np.int64)).value


def grouped_auc(
    scores: NDArray[np.floating], label: NDArray[np.bool_], group: NDArray[np.int64]
) -> GroupedAuc:
    """gAUC: ``Σ_g n_g AUC_g / Σ_g n_g`` over the groups that have both labels.

    Source: Zhu et al., Optimized Cost per Click in Taobao Display Advertising, KDD 2017, weighted
    by impressions. See :func:`group_aucs`.
    """
    value, sizes = group_aucs(scores, label, group)
    defined = ~np.isnan(value)
    total = sizes[defined].sum()
    mean = float((value[defined] * sizes[defined]).sum() / total) if total else float("nan")
    return GroupedAuc(mean, int(defined.sum()), int((~defined).sum()))


def group_aucs(
    scores: NDArray[np.floating], label: NDArray[np.bool_], group: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each group's AUC and size, in ascending order of ids: ``[G]`` f64 (NaN: one label), i64.

    Mann and Whitney's statistic by mid-ranks: with R the sum of the ranks of the P clicks, counted
    from 1 within the group, and ties at the mean of their ranks, ``AUC = (R − P (P + 1) / 2) /
    (P · (n − P))``. Ranks are summed as integers, twice their value. O(N log N), no loop.
    """
    if not len(scores):
        return np.empty(0), np.empty(0, dtype=np.int64)
    order = np.lexsort((scores, group))
    scores, label, group = scores[order], label[order], group[order]
    new_group = np.append(True, group[1:] != group[:-1])
    new_tie = new_group | np.append(True, scores[1:] != scores[:-1])
    first = np.flatnonzero(new_group)
    size = np.diff(first, append=len(scores))
    tie = np.flatnonzero(new_tie)
    last_of_tie = np.append(tie[1:], len(scores)) - 1
    twice = (tie + last_of_tie)[np.cumsum(new_tie) - 1]  # Twice the mean place, from 0.
    twice = twice - 2 * np.repeat(first, size) + 2  # Twice the mean rank in the group, from 1.
    clicks = np.add.reduceat(label, first, dtype=np.int64)
    ranks = np.add.reduceat(np.where(label, twice, 0), first)
    with np.errstate(invalid="ignore"):
        value = (ranks - clicks * (clicks + 1)) / (2 * clicks * (size - clicks))
    return value, size
