"""AUC and gAUC with multiplicities of users, for a bootstrap over users."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recops_models.evaluation.grouped_auc import group_aucs


class WeightedAuc:
    """AUC in which each user's examples count with the user's multiplicity.

    Scores are sorted once. A click beats the non-clicks with a lower score, and half of those with
    the same score. Both counts are read from the cumulative sum over the sorted non-clicks. O(N)
    per draw; sums are exact, and only the division rounds.

    Args:
        scores: ``[N]``, higher for a likelier click.
        label: ``[N]``, whether the example was clicked.
        user: ``[N]``, index of the user.
    """

    def __init__(
        self,
        scores: npt.NDArray[np.floating],
        label: npt.NDArray[np.bool_],
        user: npt.NDArray[np.int64],
    ) -> None:
        order = np.argsort(scores, kind="stable")
        scores, label, user = scores[order], label[order], user[order]
        self.clicks, self.others = user[label], user[~label]
        self.lower = np.searchsorted(scores[~label], scores[label], side="left")
        self.not_higher = np.searchsorted(scores[~label], scores[label], side="right")

    def __call__(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return values ``[R]`` for the multiplicities ``times [R, U]`` of the users."""
        clicks = times.take(self.clicks, axis=1)
        others = np.zeros((len(times), len(self.others) + 1))
        np.cumsum(times.take(self.others, axis=1), axis=1, out=others[:, 1:])
        beaten_twice = others.take(self.lower, axis=1)
        beaten_twice += others.take(self.not_higher, axis=1)
        pairs = clicks.sum(1) * others[:, -1]
        with np.errstate(invalid="ignore"):
            value: npt.NDArray[np.float64] = np.einsum("rn,rn->r", clicks, beaten_twice) / (
                2 * pairs
            )
        return value


class WeightedGauc:
    """gAUC in which each user counts with a multiplicity; arguments as in :class:`WeightedAuc`."""

    def __init__(
        self,
        scores: npt.NDArray[np.floating],
        label: npt.NDArray[np.bool_],
        user: npt.NDArray[np.int64],
    ) -> None:
        value, size = group_aucs(scores, label, user)
        self.weight = np.where(np.isnan(value), 0, size)
        self.value = np.nan_to_num(value)

    def __call__(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return values ``[R]`` for the multiplicities ``times [R, U]`` of the users."""
        with np.errstate(invalid="ignore"):
            value: npt.NDArray[np.float64] = (
                times @ (self.weight * self.value) / (times @ self.weight)
            )
        return value
