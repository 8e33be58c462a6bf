"""Linear terms of click metrics per user, whose mean over the users is the metric.

An interval over users of a mean needs one number per user. AUC, gAUC and logloss are not means
over users, but they are smooth functions of sums over users. Their first-order expansion around all
users gives one term per user. Source: Obuchowski, Nonparametric Analysis of Clustered ROC Curve
Data, 1997; Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982, chapter 6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recops_models.evaluation.grouped_auc import group_aucs

FloatArray = NDArray[np.float64]


def auc_terms(
    scores: NDArray[np.floating], label: NDArray[np.bool_], user: NDArray[np.int64], users: int
) -> FloatArray:
    """Return one term per user, ``[users]``, with the AUC of all examples as their mean.

    With P positives and N negatives, let V_i be the share of negatives below positive i, and W_j
    the share of positives above negative j (ties count one half). The term of user u is
    ``A + U (Σ_{i ∈ u} (V_i − A) / P + Σ_{j ∈ u} (W_j − A) / N)``, with A the AUC and U the number
    of users. O(N log N).

    Args:
        scores: ``[N]``, higher for a likelier click.
        label: ``[N]``, whether the example was clicked.
        user: ``[N]``, index of the user, in ``[0, users)``.
        users: U.

    Raises:
        ValueError: one of the labels is missing.

    Example:
        >>> scores, label = np.array([0.9, 0.1, 0.4]), np.array([True, False, False])
        >>> auc_terms(scores, label, np.array([0, 0, 1]), 2)
        array([1., 1.])
    """
    positive, negative = np.sort(scores[label]), np.sort(scores[~label])
    if not len(positive) or not len(negative):
        raise ValueError("auc_terms: label must have both values")
    placed = np.empty(len(scores))
    placed[label] = _share_below(negative, scores[label])
    placed[~label] = 1 - _share_below(positive, scores[~label])
    area = float(placed[label].mean())
    weight = np.where(label, 1 / len(positive), 1 / len(negative))
    total = np.bincount(user, weight * (placed - area), minlength=users)
    terms: FloatArray = area + users * total.astype(np.float64)
    return terms


def gauc_terms(
    scores: NDArray[np.floating], label: NDArray[np.bool_], user: NDArray[np.int64], users: int
) -> FloatArray:
    """Return one term per user, ``[users]``, with gAUC as their mean.

    The arguments are those of :func:`auc_terms`. The term is ``G + n_u / n̄ (AUC_u − G)``, with n_u
    the user's examples and n̄ their mean over all users; n_u is 0 for a user with one label.

    Raises:
        ValueError: no user has both labels.
    """
    value, size = group_aucs(scores, label, user)
    is_defined = ~np.isnan(value)
    if not is_defined.any():
        raise ValueError("gauc_terms: a user must have both labels")
    present = np.unique(user)
    return _ratio_terms(
        np.bincount(present[is_defined], (value * size)[is_defined], minlength=users),
        np.bincount(present[is_defined], size[is_defined], minlength=users),
    )


def mean_terms(values: NDArray[np.floating], user: NDArray[np.int64], users: int) -> FloatArray:
    """Return one term per user, ``[users]``, with the mean of all ``values [N]`` as their mean."""
    return _ratio_terms(
        np.bincount(user, values, minlength=users), np.bincount(user, minlength=users)
    )


def _ratio_terms(total: NDArray[np.generic], weight: NDArray[np.generic]) -> FloatArray:
    """Return the terms of ``Σ total / Σ weight``."""
    totals, weights = total.astype(np.float64), weight.astype(np.float64)
    ratio = totals.sum() / weights.sum()
    terms: FloatArray = ratio + (totals - ratio * weights) / weights.mean()
    return terms


def _share_below(others: NDArray[np.floating], scores: NDArray[np.floating]) -> FloatArray:
    """Return the share of the ascending ``others`` below each score; ties count one half."""
    below = np.searchsorted(others, scores, side="left")
    upto = np.searchsorted(others, scores, side="right")
    share: FloatArray = (below + upto) / (2 * len(others))
    return share
