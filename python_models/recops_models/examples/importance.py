"""Weights of impressions by inverse propensity."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

ClickLoss: TypeAlias = Literal["cross-entropy", "ips"]


class ImportanceWeights(NamedTuple):
    """Weights of N impressions.

    Attributes:
        weight: ``[N]`` f32, with mean 1.
        effective: effective sample size ``(Σ w)² / Σ w²``: the number of equally weighted
            impressions with the same information.
        clipped: share of the weights that the bound has lowered.
    """

    weight: NDArray[np.float32]
    effective: float
    clipped: float


def importance_weights(propensity: NDArray[np.floating], bound: float) -> ImportanceWeights:
    """Return self-normalised, clipped inverse propensities.

    ``w = min(1 / p, bound · mean(1 / p))``, divided by the mean of all w. The expected mean of
    ``1 / p`` is the number of candidates, so weights of ε-greedy exploration with ε = 0.1 are at
    most ten times the mean. Clipping lowers the variance, and biases the weights towards those of
    the logging policy.

    Source: Swaminathan and Joachims, The Self-Normalized Estimator for Counterfactual Learning,
    2015; Ionides, Truncated Importance Sampling, 2008.

    Args:
        propensity: ``[N]``, p in (0, 1], N ≥ 1.
        bound: largest weight in multiples of the mean weight before clipping, > 0.

    Example:
        >>> import numpy as np
        >>> from recops_models.examples.importance import importance_weights
        >>> weights = importance_weights(np.array([0.5, 0.5, 0.25]), bound=10)
        >>> weights.weight.tolist(), round(weights.effective, 2)
        ([0.75, 0.75, 1.5], 2.67)
    """
    inverse = 1 / propensity.astype(np.float64)
    most = bound * inverse.mean()
    weight = np.minimum(inverse, most)
    weight /= weight.mean()
    effective = len(weight) ** 2 / float((weight**2).sum())
    return ImportanceWeights(weight.astype(np.float32), effective, float((inverse > most).mean()))
