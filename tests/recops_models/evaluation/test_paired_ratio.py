"""The interval of a ratio of means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recops_models.evaluation.paired_ratio import paired_ratio


def test_the_interval_of_a_ratio_inverts_paired_t_tests() -> None:
    rng = np.random.default_rng(0)
    second = 3 + rng.normal(size=7)
    first = 0.4 * second + 0.5 * rng.normal(size=7)
    ratio = paired_ratio(first, second)
    assert ratio.value == pytest.approx(first.mean() / second.mean())
    assert ratio.interval is not None
    low, high = ratio.interval
    assert low < ratio.value < high
    for end in (low, high):
        assert stats.ttest_1samp(first - end * second, 0).pvalue == pytest.approx(0.05)
    narrow = paired_ratio(first, second, level=0.5).interval
    assert narrow is not None
    assert low < narrow[0] < narrow[1] < high


def test_a_ratio_is_unbounded_if_the_denominator_may_be_zero() -> None:
    second = np.array([0.1, -0.2, 0.3, -0.1])
    assert paired_ratio(np.ones(4), second).interval is None
    exact = paired_ratio(0.25 * (second + 3), second + 3)
    assert exact.interval == pytest.approx((0.25, 0.25))
    with pytest.raises(ValueError, match="N ≥ 2"):
        paired_ratio(np.ones(1), np.ones(1))
    with pytest.raises(ValueError, match="must have the same shape"):
        paired_ratio(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="level must be in"):
        paired_ratio(np.ones(3), np.ones(3), level=1.0)
