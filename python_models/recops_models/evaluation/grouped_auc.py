"""AUC over all examples, and within groups."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class GroupedAuc(NamedTuple):
    """Mean AUC within groups.

    Attributes:
        value: mean over groups, weighted by their sizes; NaN if no group has both labels.
        groups: number of groups in the mean.
        left_out: number of groups with only one label, whose AUC is undefined.
    """

    value: float
    groups: int
    left_out: int


def auc(scores: NDArray[np.floating], label: NDArray[np.bool_]) -> float:
    """Return the share of pairs (click, no click) with a higher score of the click.

    Ties count one half. NaN if one of the labels is missing. O(N log N).

    Example:
        >>> import numpy as np
        >>> auc(np.array([0.9, 0.4, 0.4]), np.array([True, True, False]))
        0.75
    """
    return grouped_auc(scores, label, np.zeros(len(scores), dtype=np.int64)).value


def grouped_auc(
    scores: NDArray[np.floating], label: NDArray[np.bool_], group: NDArray[np.int64]
) -> GroupedAuc:
    """Return gAUC: ``Σ_g n_g AUC_g / Σ_g n_g`` over the groups with both labels.

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
    """Return each group's AUC ``[G]`` f64 and size ``[G]`` i64, by ascending group id.

    The AUC of a group with one label is NaN. It is the Mann–Whitney statistic: with n examples, P
    clicks and R the sum of the clicks' ranks in the group (from 1, ties at their mean rank),
    ``AUC = (R − P (P + 1) / 2) / (P (n − P))``. Sums use twice the rank, an integer, and are exact.
    O(N log N).
    """
    ranks, clicks, size = rank_sums(scores, label, group)
    with np.errstate(invalid="ignore"):
        value = (ranks - clicks * (clicks + 1)) / (2 * clicks * (size - clicks))
    return value, size


def rank_sums(
    scores: NDArray[np.floating], label: NDArray[np.bool_], group: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return, per group, twice the sum of the clicks' ranks, the clicks, and the examples.

    ``[G]`` i64 each, by ascending group id. Ranks are those in the group, from 1; ties have their
    mean rank.
    """
    if not len(scores):
        none = np.empty(0, dtype=np.int64)
        return none, none, none
    order = np.lexsort((scores, group))
    scores, label, group = scores[order], label[order], group[order]
    new_group = np.append(True, group[1:] != group[:-1])
    new_tie = new_group | np.append(True, scores[1:] != scores[:-1])
    first = np.flatnonzero(new_group)
    size = np.diff(first, append=len(scores))
    tie = np.flatnonzero(new_tie)
    last_of_tie = np.append(tie[1:], len(scores)) - 1
    twice = (tie + last_of_tie)[np.cumsum(new_tie) - 1]  # Twice the mean position, from 0.
    twice = twice - 2 * np.repeat(first, size) + 2  # Twice the mean rank in the group, from 1.
    clicks = np.add.reduceat(label, first, dtype=np.int64)
    return np.add.reduceat(np.where(label, twice, 0), first), clicks, size
