"""The paired bootstrap: coverage, pairing, determinism, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from recops_models.evaluation.intervals import paired_bootstrap


def test_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        first = rng.normal(0.3, 1.0, size=80)
        second = rng.normal(0.0, 1.0, size=80)
        low, high = paired_bootstrap(first, second, resamples=400, seed=trial)
        covered += low <= 0.3 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_pairing_removes_what_users_have_in_common() -> None:
    rng = np.random.default_rng(0)
    users = rng.normal(size=500)
    low, high = paired_bootstrap(users + 0.1, users)
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)
    low, high = paired_bootstrap(users + 0.1, rng.permutation(users))
    assert low < 0 < high


def test_wider_for_a_higher_level_and_mirrored_when_swapped() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random(300) < 0.2).astype(float), (rng.random(300) < 0.1).astype(float)
    low, high = paired_bootstrap(first, second)
    wide_low, wide_high = paired_bootstrap(first, second, level=0.99)
    assert wide_low < low < first.mean() - second.mean() < high < wide_high
    assert paired_bootstrap(second, first) == pytest.approx((-high, -low))
    assert paired_bootstrap(first, second) == (low, high)


@pytest.mark.parametrize(
    ("first", "second", "level", "message"),
    [
        (np.zeros(3), np.zeros(4), 0.95, "equal, non-empty"),
        (np.zeros(0), np.zeros(0), 0.95, "equal, non-empty"),
        (np.zeros((2, 2)), np.zeros((2, 2)), 0.95, "equal, non-empty"),
        (np.zeros(3), np.zeros(3), 1.0, "level must lie"),
    ],
)
def test_bad_input(first: np.ndarray, second: np.ndarray, level: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(first, second, level=level)
