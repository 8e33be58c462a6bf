"""Holm's procedure: worked by hand, and its size on simulated claims."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recops_models.evaluation.holm import holm


def test_a_case_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_a_page_of_nothing_tells_of_something_as_seldom_as_it_says() -> None:
    """Twenty claims, of which twelve are true: a wrong word on the other eight in 5 % of pages."""
    rng = np.random.default_rng(0)
    wrong, alone, found = 0, 0, 0
    for _ in range(600):
        shift = np.where(np.arange(20) < 12, 6.0, 0.0)
        shared = rng.normal(size=(5, 1))  # Claims share runs.
        sample = shift + 0.5 * shared + rng.normal(size=(5, 20))
        sample[:, 12:] -= 0.5 * shared  # The true ones alone share here, so that nulls are exact.
        p_values = stats.ttest_1samp(sample, 0).pvalue
        adjusted = np.array(holm(p_values))
        wrong += (adjusted[12:] < 0.05).any()
        alone += (p_values[12:] < 0.05).any()
        found += (adjusted[:12] < 0.05).mean()
    assert wrong / 600 <= 0.08
    assert alone / 600 > 0.25
    assert found / 600 > 0.9


@pytest.mark.parametrize("p_values", [[1.1], [-0.1], [float("nan")]])
def test_bad_input(p_values: list[float]) -> None:
    with pytest.raises(ValueError, match="holm: p_values"):
        holm(p_values)
