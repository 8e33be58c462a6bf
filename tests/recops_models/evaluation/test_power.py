"""Minimum detectable differences, compared with simulated tests; number of seeds needed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recops_models.evaluation.bootstrap import draw_means
from recops_models.evaluation.power import seeds_to_settle, smallest_difference
from recops_models.evaluation.seeds_and_users import SeedsAndUsers


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("level", [0.95, 0.998])
def test_the_smallest_difference_has_the_requested_power(seeds: int, level: float) -> None:
    difference = smallest_difference(0.7, seeds, level=level)
    rng = np.random.default_rng(seeds)
    samples = difference + 0.7 * rng.normal(size=(4000, seeds))
    seen = stats.ttest_1samp(samples, 0, axis=1).pvalue < 1 - level
    assert np.mean(seen) == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize(
    ("seeds", "of_users", "claims"), [(2, 4.0, 1), (3, 4.0, 8), (3, 0.5, 20), (5, 2.0, 20)]
)
def test_the_error_over_users_reduces_power(seeds: int, of_users: float, claims: int) -> None:
    """The error over users is ``of_users`` times the error over seeds."""
    error, level = of_users / seeds**0.5, 1 - 0.05 / claims
    difference = smallest_difference(1.0, seeds, error, level=level)
    rng = np.random.default_rng(seeds)
    quantiles = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    seen, trials = 0, 800
    for _ in range(trials):
        by_seed = difference + error * rng.normal() + rng.normal(size=seeds)
        law = SeedsAndUsers.of(by_seed, by_seed.mean() + error * quantiles)
        seen += law.p_value() < 1 - level
    assert seen / trials == pytest.approx(0.8, abs=0.05)


def test_power_holds_with_a_bootstrap_over_users() -> None:
    seeds, users, of_seed, of_user = 5, 200, 0.1, 1.5
    error = of_user / users**0.5
    difference = smallest_difference(of_seed, seeds, error)
    seen = 0
    for trial in range(300):
        rng = np.random.default_rng(trial)
        by_seed = difference + of_seed * rng.normal(size=seeds)
        by_user = of_user * rng.normal(size=users)
        drawn = draw_means(by_user, resamples=300, seed=trial) + by_seed.mean()
        law = SeedsAndUsers.of(by_seed + by_user.mean(), drawn)
        seen += law.p_value() < 0.05
    assert 0.72 <= seen / 300 <= 0.9


@pytest.mark.slow
def test_seeds_to_settle_returns_the_smallest_number() -> None:
    needed = seeds_to_settle(0.3, 0.7)
    assert needed is not None
    assert smallest_difference(0.7, needed) <= 0.3 < smallest_difference(0.7, needed - 1)
    assert seeds_to_settle(10.0, 0.7) == 2
    assert seeds_to_settle(0.3, 0.0) == 2
    # No number of seeds makes up for too few users.
    assert seeds_to_settle(0.3, 0.7, 0.2) is None
    assert seeds_to_settle(0.0, 0.7) is None


def test_without_spread_every_difference_is_detected() -> None:
    assert smallest_difference(0.0, 5) == 0
    assert smallest_difference(0.0, 5, 0.1) == pytest.approx(0.1 * (1.96 + 0.8416), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "levels"),
    [((0.1, 1), {}), ((-0.1, 5), {}), ((0.1, 5, -1.0), {}), ((0.1, 5), {"level": 1.0})],
)
def test_bad_input(arguments: tuple[float, int], levels: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="smallest_difference"):
        smallest_difference(*arguments, **levels)
