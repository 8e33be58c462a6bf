"""Holm's correction of p-values for multiple tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recops_models.evaluation.samples import checked_p_values


def holm(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values: for ``p₍₁₎ ≤ … ≤ p₍ₘ₎``, ``max_{j ≤ i} min(1, (m − j + 1) p₍ⱼ₎)``.

    Rejecting the hypotheses with adjusted values below α rejects any true hypothesis with
    probability at most α, for any dependence between the tests.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.

    Raises:
        ValueError: a value is not in [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.5])
        [0.03, 0.08, 0.5]
    """
    values = checked_p_values("holm", p_values)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, factors * values[order]))
    return [float(value) for value in adjusted]
