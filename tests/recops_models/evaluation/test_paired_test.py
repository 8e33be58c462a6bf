"""Tests over seeds: agreement with scipy, exact cases, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recops_models.evaluation.paired_test import paired_test


def test_paired_test_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.4, 1, size=12), rng.normal(size=12)
    found = paired_test(first, second, level=0.9)
    theirs = stats.ttest_rel(first, second)
    assert found.t_test == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.9)))
    assert found.wilcoxon == pytest.approx(stats.wilcoxon(first, second).pvalue)
    assert found.mean == pytest.approx((first - second).mean())
    assert found.seeds == 12


def test_paired_test_of_equal_differences() -> None:
    ones = np.ones(5)
    same = paired_test(ones, ones)
    assert same[:4] == (0, 0, 0, 1)
    assert np.isnan(same.wilcoxon)
    better = paired_test(ones + 1, ones)
    assert better[:4] == (1, 1, 1, 0)
    assert better.wilcoxon == 2**-4


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones(3), np.ones(4), r"must be equal \[N\]"),
        (np.ones(1), np.ones(1), "N ≥ 2"),
        (np.array([1, np.nan]), np.ones(2), "must be finite"),
    ],
)
def test_paired_test_refuses(first: np.ndarray, second: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_test(first, second)
