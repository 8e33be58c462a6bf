"""Distribution over seeds and users: coverage on simulated data, and its two limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recops_models.evaluation.bootstrap import draw_means, percentiles
from recops_models.evaluation.seeds_and_users import SeedsAndUsers


def simulated(trial: int, seeds: int, of_seed: float, of_user: float) -> SeedsAndUsers:
    """Simulate a difference of 0.3 with normal effects of seeds, users and their interaction."""
    rng = np.random.default_rng((trial, seeds))
    users = 80
    cells = 0.3 + of_seed * rng.normal(size=(seeds, 1)) + of_user * rng.normal(size=(1, users))
    cells += rng.normal(size=(seeds, users))
    return SeedsAndUsers.of(cells.mean(1), draw_means(cells.mean(0), resamples=300, seed=trial))


@pytest.mark.parametrize(
    ("seeds", "of_seed", "of_user"),
    [
        (5, 0.3, 1.0),
        pytest.param(5, 0.05, 3.0, marks=pytest.mark.slow),
        pytest.param(5, 1.0, 0.3, marks=pytest.mark.slow),
        pytest.param(3, 0.2, 2.0, marks=pytest.mark.slow),
    ],
)
def test_the_interval_over_seeds_and_users_has_its_coverage(
    seeds: int, of_seed: float, of_user: float
) -> None:
    laws = [simulated(trial, seeds, of_seed, of_user) for trial in range(300)]
    intervals = [law.interval() for law in laws]
    covered = np.mean([low <= 0.3 <= high for low, high in intervals])
    assert 0.92 <= covered <= 0.995
    # The test rejects the true difference rarely.
    assert np.mean([law.p_value(0.3) < 0.05 for law in laws]) <= 0.08


def test_seeds_or_users_alone_have_too_little_coverage() -> None:
    """An interval over seeds ignores users, and an interval over users ignores seeds."""
    of_seeds, of_users = 0, 0
    for trial in range(200):
        law = simulated(trial, 5, 0.2, 2.0)
        center, reach = float(law.users.mean()), 2.776 * law.error
        of_seeds += abs(center - 0.3) <= reach
        law = simulated(trial, 5, 1.0, 0.3)
        low, high = percentiles(law.users, 0.95)
        of_users += low <= 0.3 <= high
    assert of_seeds < 0.85 * 200
    assert of_users < 0.85 * 200


def test_without_users_it_is_students_interval() -> None:
    difference = np.random.default_rng(0).normal(0.3, 1, 6)
    law, test = SeedsAndUsers.of(difference), stats.ttest_1samp(difference, 0)
    assert law.interval() == pytest.approx(tuple(test.confidence_interval()))
    assert law.p_value() == pytest.approx(test.pvalue)
    assert law.interval(0.5)[0] > law.interval()[0]


def test_without_spread_over_seeds_it_is_the_bootstrap() -> None:
    drawn = draw_means(np.random.default_rng(0).normal(size=50), resamples=500)
    law = SeedsAndUsers.of(np.full(5, drawn.mean()), drawn)
    assert law.interval() == pytest.approx(percentiles(drawn, 0.95))
    low, _ = law.interval(0.9)
    assert law.p_value(low) == pytest.approx(0.1, abs=0.01)
    assert law.p_value(100.0) == pytest.approx(2 / 501)


def test_interval_and_p_value_agree() -> None:
    law = simulated(0, 5, 0.3, 1.0)
    low, high = law.interval()
    assert law.p_value(low) == pytest.approx(0.05, abs=1e-6)
    assert law.p_value(high) == pytest.approx(0.05, abs=1e-6)


def test_equal_differences() -> None:
    law = SeedsAndUsers.of(np.full(3, 0.1))
    assert law.interval() == (0.1, 0.1)
    assert (law.p_value(0.1), law.p_value(0.0)) == (1, 0)


def test_draws_that_differ_only_by_rounding() -> None:
    users = np.where(np.arange(1000) % 2, 0.3, np.nextafter(0.3, 1))
    law = SeedsAndUsers.of(np.array([0.29, 0.32, 0.30]), users)
    expected = SeedsAndUsers.of(np.array([0.29, 0.32, 0.30]), np.array([0.3]))
    assert law.interval() == pytest.approx(expected.interval())


@pytest.mark.parametrize(
    ("per_seed", "users"),
    [([0.1], None), ([0.1, np.nan], None), ([0.1, 0.2], []), ([0.1, 0.2], [np.inf])],
)
def test_bad_input(per_seed: list[float], users: list[float] | None) -> None:
    with pytest.raises(ValueError, match="SeedsAndUsers"):
        SeedsAndUsers.of(np.array(per_seed), None if users is None else np.array(users))
