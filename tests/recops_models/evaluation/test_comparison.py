"""Comparison over seeds and users: hand-computed values, and its two intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recops_models.evaluation.comparison import Comparison, compare
from recops_models.evaluation.power import smallest_difference


def test_over_seeds_it_is_students_test() -> None:
    result = Comparison.of(np.array([1.0, 2.0, 3.0]))
    # Mean 2, standard error 1 / √3, t(2) quantile 4.3027.
    assert result.difference == 2
    assert result.interval == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert result.users_interval == (2, 2)
    assert result.p_value == pytest.approx(2 * stats.t(2).sf(2 * 3**0.5))
    assert result.detectable == smallest_difference(1.0, 3)


def test_users_alone_when_seeds_agree() -> None:
    """Half of 400 users gain 1: the interval is that of a binomial mean."""
    first = np.tile(np.arange(400) % 2, (5, 1)).astype(np.float64)
    result = compare(first, np.zeros_like(first))
    error = 0.5 / 400**0.5
    assert result.difference == 0.5
    assert result.users_interval == pytest.approx(
        (0.5 - 1.96 * error, 0.5 + 1.96 * error), abs=0.003
    )
    assert result.interval == result.users_interval
    assert result.p_value == pytest.approx(2 / 10_001)
    assert result.detectable == pytest.approx(error * (1.96 + 0.8416), rel=0.03)


def test_seeds_widen_the_interval_over_users() -> None:
    rng = np.random.default_rng(0)
    shift = np.array([[-0.2], [0.0], [0.1], [0.2], [0.4]])
    first = 0.1 + shift + rng.normal(size=(5, 300))
    result = compare(first, np.zeros_like(first), resamples=2000)
    (low, high), (inner_low, inner_high) = result.interval, result.users_interval
    assert low < inner_low < result.difference < inner_high < high
    swapped = compare(np.zeros_like(first), first, resamples=2000)
    assert swapped.difference == -result.difference
    assert swapped.interval == pytest.approx((-high, -low), abs=0.02)
    assert swapped.p_value == pytest.approx(result.p_value, abs=0.02)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="compare: first and second must have the same shape"):
        compare(np.zeros((1, 5)), np.zeros((1, 5)))
    with pytest.raises(ValueError, match="compare: first and second must be finite"):
        compare(np.full((2, 5), np.nan), np.zeros((2, 5)))
    with pytest.raises(ValueError, match="level must be in"):
        compare(np.zeros((2, 5)), np.zeros((2, 5)), level=1.0)
