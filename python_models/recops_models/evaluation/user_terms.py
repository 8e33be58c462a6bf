"""Linear terms of gAUC per user, whose mean over the users is the metric.

An interval over users of a mean needs one number per user. gAUC is no such mean, but it is a ratio
of sums over users. Its first-order expansion around all users gives one term per user. Source:
Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982, chapter 6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recops_models.evaluation.grouped_auc import group_aucs

FloatArray = NDArray[np.float64]


def gauc_terms(
    scores: NDArray[np.floating], label: NDArray[np.bool_], user: NDArray[np.int64], users: int
) -> FloatArray:
    """Return one term per user, ``[users]``, with gAUC as their mean.

    The term is ``G + n_u / n̄ (AUC_u − G)``, with n_u the user's examples and n̄ their mean over all
    users; n_u is 0 for a user with one label. O(N log N).

    Args:
        scores: ``[N]``, higher for a likelier click.
        label: ``[N]``, whether the example was clicked.
        user: ``[N]``, index of the user, in ``[0, users)``.
        users: U.

    Raises:
        ValueError: no user has both labels.

    Example:
        >>> scores, label = np.array([0.9, 0.1, 0.4]), np.array([True, False, False])
        >>> gauc_terms(scores, label, np.array([0, 0, 1]), 2)
        array([1., 1.])
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


def _ratio_terms(total: NDArray[np.generic], weight: NDArray[np.generic]) -> FloatArray:
    """Return the terms of ``Σ total / Σ weight``."""
    totals, weights = total.astype(np.float64), weight.astype(np.float64)
    ratio = totals.sum() / weights.sum()
    terms: FloatArray = ratio + (totals - ratio * weights) / weights.mean()
    return terms
