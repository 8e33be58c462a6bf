"""Confidence interval of a ratio of means, by Fieller's theorem."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from recops_models.evaluation.samples import require_level, require_paired


class Ratio(NamedTuple):
    """A ratio of means and its interval; None if the interval is unbounded."""

    value: float
    interval: tuple[float, float] | None


def paired_ratio(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], *, level: float = 0.95
) -> Ratio:
    """Return ``mean(first) / mean(second)`` of paired samples, with its Fieller interval.

    The interval holds every θ for which a paired t test does not reject that
    ``mean(first − θ · second)`` is 0. Its ends are the roots of
    ``(b̄² − t²V_bb) θ² − 2 (āb̄ − t²V_ab) θ + (ā² − t²V_aa)``, with V the covariance of the means. It
    is bounded only if ``mean(second)`` differs from 0 at this level.

    Source: Fieller, Some Problems in Interval Estimation, 1954.

    Args:
        first: ``[N]``, N ≥ 2.
        second: ``[N]``, paired with ``first``.
        level: coverage of the interval, in (0, 1).

    Raises:
        ValueError: the shapes differ, there are fewer than two pairs, or ``level`` is out of range.
    """
    require_paired("paired_ratio", first, second, 2)
    require_level("paired_ratio", level)
    a, b = float(np.mean(first)), float(np.mean(second))
    value = a / b if b else float("nan")
    t2 = float(stats.t(len(first) - 1).ppf((1 + level) / 2)) ** 2
    (v_aa, v_ab), (_, v_bb) = np.cov(first, second) / len(first)
    square, half, constant = b * b - t2 * v_bb, a * b - t2 * v_ab, a * a - t2 * v_aa
    if square <= 0:
        return Ratio(value, None)
    reach = float(np.sqrt(max(half * half - square * constant, 0.0)))
    return Ratio(value, (float((half - reach) / square), float((half + reach) / square)))
