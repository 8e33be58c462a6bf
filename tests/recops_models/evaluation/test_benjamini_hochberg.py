"""Benjamini and Hochberg's correction: published values, and its error rate on simulated tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recops_models.evaluation.benjamini_hochberg import benjamini_hochberg


def test_small_examples() -> None:
    # 4/1 · .005, 4/2 · .01, 4/3 · .03, 4/4 · .04.
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert benjamini_hochberg([0.9, 0.6]) == pytest.approx([0.9, 0.9])
    assert benjamini_hochberg([0.2]) == [0.2]
    assert benjamini_hochberg([]) == []


def test_the_example_of_the_paper() -> None:
    """The paper's 15 p-values: four rejections at q = .05, where Bonferroni rejects three."""
    p_values = [
        *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
        *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
    ]
    adjusted = np.array(benjamini_hochberg(p_values))
    assert (adjusted <= 0.05).sum() == 4
    assert adjusted[3] == pytest.approx(15 / 4 * 0.0095)
    assert adjusted[4] == pytest.approx(15 / 5 * 0.0201)


def test_the_false_discovery_rate_is_controlled() -> None:
    rng = np.random.default_rng(0)
    shares, any_wrong = [], 0
    for _ in range(400):
        shift = np.where(np.arange(20) < 12, 4.0, 0.0)
        p_values = stats.norm.sf(shift + rng.normal(size=20))
        rejected = np.array(benjamini_hochberg(p_values)) <= 0.1
        shares.append(rejected[12:].sum() / max(1, rejected.sum()))
        any_wrong += rejected[12:].any()
    assert np.mean(shares) <= 0.06  # The expected share is q · 8 / 20 = .04.
    assert any_wrong / 400 > 0.2  # It does not control the probability of any error.


@pytest.mark.parametrize("p_values", [[1.1], [-0.1], [float("nan")]])
def test_bad_input(p_values: list[float]) -> None:
    with pytest.raises(ValueError, match="benjamini_hochberg: p_values"):
        benjamini_hochberg(p_values)
