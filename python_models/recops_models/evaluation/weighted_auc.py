"""AUC and gAUC where each user counts so many times, as in a bootstrap over users."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recops_models.evaluation.grouped_auc import group_aucs


class WeightedAuc:
    """AUC with each user's examples counted so many times; scores are sorted once."""

    def __init__(
        self,
        scores: npt.NDArray[np.floating],
        label: npt.NDArray[np.bool_],
        user: npt.NDArray[np.int64],
    ) -> None:
        order = np.argsort(scores, kind="stable")
        scores = scores[order]
        new_tie = np.append(True, scores[1:] != scores[:-1])
        self.tie = np.flatnonzero(new_tie)
        self.user, self.label = user[order], label[order]

    def __call__(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """``[R]`` from ``[R, U]``: how often each user is there."""
        weight = times[:, self.user]
        clicks = np.add.reduceat(np.where(self.label, weight, 0), self.tie, axis=1)
        others = np.add.reduceat(np.where(self.label, 0, weight), self.tie, axis=1)
        beaten = np.cumsum(others, axis=1) - others / 2  # A tie counts half.
        pairs = clicks.sum(1) * others.sum(1)
        with np.errstate(invalid="ignore"):
            value: npt.NDArray[np.float64] = (clicks * beaten).sum(1) / pairs
        return value


class WeightedGauc:
    """gAUC with each user counted so many times."""

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
        """``[R]`` from ``[R, U]``: how often each user is there."""
        with np.errstate(invalid="ignore"):
            value: npt.NDArray[np.float64] = (
                times @ (self.weight * self.value) / (times @ self.weight)
            )
        return value
