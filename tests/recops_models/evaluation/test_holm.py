"""Holm's correction: small examples, and its error rate on simulated tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recops_models.evaluation.holm import holm


def test_holm_of_small_examples() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_the_family_wise_error_rate_is_controlled() -> None:
    """Eight of twenty dependent tests have a true null; 5 % of the runs reject any of them."""
    rng = np.random.default_rng(0)
    wrong, alone, rejected = 0, 0, 0
    for _ in range(600):
        shift = np.where(np.arange(20) < 12, 6.0, 0.0)
        shared = rng.normal(size=(5, 1))  # The tests share runs.
        sample = shift + 0.5 * shared + rng.normal(size=(5, 20))
        sample[:, 12:] -= 0.5 * shared  # Tests with a true null share none and are exact.
        p_values = stats.ttest_1samp(sample, 0).pvalue
        adjusted = np.array(holm(p_values))
        wrong += (adjusted[12:] < 0.05).any()
        alone += (p_values[12:] < 0.05).any()
        rejected += (adjusted[:12] < 0.05).mean()
    assert wrong / 600 <= 0.08
    assert alone / 600 > 0.25
    assert rejected / 600 > 0.9


@pytest.mark.parametrize("p_values", [[1.1], [-0.1], [float("nan")]])
def test_bad_input(p_values: list[float]) -> None:
    with pytest.raises(ValueError, match="holm: p_values"):
        holm(p_values)
