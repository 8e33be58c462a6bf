"""Two one-sided tests: Student's test by hand, and the power of the smallest margin."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recops_models.evaluation.bootstrap import draw_means
from recops_models.evaluation.equivalence import equivalence_p_value, smallest_margin
from recops_models.evaluation.seeds_and_users import SeedsAndUsers


def test_over_seeds_it_is_two_t_tests() -> None:
    # Mean 2, standard error 1 / √3, two degrees of freedom: t = (3 − 2) √3 and (2 + 3) √3.
    difference = SeedsAndUsers.of(np.array([1.0, 2.0, 3.0]))
    assert equivalence_p_value(difference, 3.0) == pytest.approx(stats.t(2).sf(3**0.5))
    negative = SeedsAndUsers.of(np.array([-1.0, -2.0, -3.0]))
    assert equivalence_p_value(negative, 3.0) == pytest.approx(stats.t(2).sf(3**0.5))


def test_over_users_it_counts_draws() -> None:
    drawn = np.linspace(-0.5, 0.5, 1001)
    difference = SeedsAndUsers.of(np.zeros(3), drawn)
    # 101 draws are at least .4; one more for the observed sample.
    assert equivalence_p_value(difference, 0.4) == pytest.approx(102 / 1002)


def test_it_agrees_with_the_interval() -> None:
    rng = np.random.default_rng(0)
    difference = SeedsAndUsers.of(
        np.array([0.1, 0.15, 0.12, 0.2]), draw_means(0.14 + rng.normal(size=400), resamples=500)
    )
    low, high = difference.interval(0.9)  # 1 − 2α with α = .05
    margin = max(-low, high)
    assert equivalence_p_value(difference, margin) == pytest.approx(0.05, abs=1e-6)
    assert equivalence_p_value(difference, 1.1 * margin) < 0.05


@pytest.mark.parametrize(("seeds", "of_users"), [(3, 0.0), (5, 0.5), (10, 3.0)])
def test_the_smallest_margin_has_the_requested_power(seeds: int, of_users: float) -> None:
    """The error over users is ``of_users`` times the error over seeds."""
    error = of_users / seeds**0.5
    margin = smallest_margin(1.0, seeds, error)
    rng = np.random.default_rng(seeds)
    quantiles = stats.norm.ppf((np.arange(200) + 0.5) / 200)
    shown, trials = 0, 400
    for _ in range(trials):
        by_seed = error * rng.normal() + rng.normal(size=seeds)
        users = by_seed.mean() + error * quantiles if error else None
        shown += equivalence_p_value(SeedsAndUsers.of(by_seed, users), margin) < 0.05
    assert shown / trials == pytest.approx(0.8, abs=0.05)


def test_without_spread_every_margin_is_enough() -> None:
    assert smallest_margin(0.0, 5) == 0
    # z(.95) + z(.9), since both tests must reject.
    assert smallest_margin(0.0, 5, 0.1) == pytest.approx(0.1 * (1.6449 + 1.2816), rel=1e-3)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="equivalence_p_value: margin must be > 0, got 0"):
        equivalence_p_value(SeedsAndUsers.of(np.zeros(2)), 0)
    with pytest.raises(ValueError, match="smallest_margin: seeds must be ≥ 2"):
        smallest_margin(0.1, 1)
    with pytest.raises(ValueError, match="smallest_margin: level"):
        smallest_margin(0.1, 5, power=1.0)
