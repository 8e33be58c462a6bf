"""Several claims on one page: p-values that count how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: with ``p₍₁₎ ≤ … ≤ p₍ₘ₎``, ``max_{j ≤ i} min(1, (m − j + 1) p₍ⱼ₎)``.

    Rejecting where these lie below α rejects any true hypothesis with a chance of at most α,
    however the tests depend on each other.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.

    Raises:
        ValueError: one is no probability.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"holm: p_values must lie within [0, 1], got {list(p_values)}")
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, factors * values[order]))
    return [float(value) for value in adjusted]
