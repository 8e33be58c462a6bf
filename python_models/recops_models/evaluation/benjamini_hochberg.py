"""Benjamini and Hochberg's correction of p-values, which controls the false discovery rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recops_models.evaluation.samples import checked_p_values


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values: for ``p₍₁₎ ≤ … ≤ p₍ₘ₎``, ``min_{j ≥ i} min(1, m p₍ⱼ₎ / j)``.

    Of the hypotheses with adjusted values of at most q, an expected share of at most q is true.
    This holds for independent tests, and for tests with positive regression dependency.

    Source: Benjamini and Hochberg, Controlling the False Discovery Rate, 1995.

    Complexity:
        O(m log m).

    Raises:
        ValueError: a value is not in [0, 1].

    Example:
        >>> from recops_models.evaluation.benjamini_hochberg import benjamini_hochberg
        >>> benjamini_hochberg([0.01, 0.04, 0.5])
        [0.03, 0.06, 0.5]
    """
    values = checked_p_values("benjamini_hochberg", p_values)
    descending = np.argsort(-values, kind="stable")
    factors = len(values) / np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[descending] = np.minimum.accumulate(np.minimum(1.0, factors * values[descending]))
    return [float(value) for value in adjusted]
