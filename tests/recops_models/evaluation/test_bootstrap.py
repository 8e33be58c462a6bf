"""Bootstrap over users: coverage, pairing, determinism and errors."""

from __future__ import annotations

import numpy as np
import pytest

from recops_models.evaluation.bootstrap import (
    bootstrap_auc_difference,
    draw_means,
    paired_bootstrap,
)
from recops_models.evaluation.grouped_auc import grouped_auc
from recops_models.evaluation.weighted_auc import WeightedAuc, WeightedGauc


def test_the_interval_has_its_nominal_coverage() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        first = rng.normal(0.3, 1.0, size=80)
        second = rng.normal(0.0, 1.0, size=80)
        low, high = paired_bootstrap(first, second, resamples=400, seed=trial)
        covered += low <= 0.3 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_pairing_removes_the_effect_of_users() -> None:
    rng = np.random.default_rng(0)
    users = rng.normal(size=500)
    low, high = paired_bootstrap(users + 0.1, users)
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)
    low, high = paired_bootstrap(users + 0.1, rng.permutation(users))
    assert low < 0 < high


def test_the_interval_widens_with_the_level_and_mirrors_when_swapped() -> None:
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
        (np.zeros(3), np.zeros(4), 0.95, "N ≥ 1"),
        (np.zeros(0), np.zeros(0), 0.95, "N ≥ 1"),
        (np.zeros((2, 2)), np.zeros((2, 2)), 0.95, "N ≥ 1"),
        (np.zeros(3), np.zeros(3), 1.0, "level must be in"),
    ],
)
def test_bad_input(first: np.ndarray, second: np.ndarray, level: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(first, second, level=level)


def click_examples(seed: int, users: int = 40, rows: int = 400, lift: float = 0.0):
    """Return scores of two models, labels and users; ``lift`` makes the first model better."""
    rng = np.random.default_rng(seed)
    user, label = rng.integers(users, size=rows), rng.random(rows) < 0.4
    taste = rng.normal(size=users)[user]
    first, second = (taste + rng.normal(size=rows) + label * (0.5 + extra) for extra in (lift, 0.0))
    return np.round(first, 1), np.round(second, 1), label, user  # Rounding causes ties.


@pytest.mark.parametrize("metric", ["auc", "gauc"])
def test_weighted_metrics_equal_metrics_of_repeated_users(metric: str) -> None:
    scores, _, label, user = click_examples(0)
    weighted = (WeightedAuc if metric == "auc" else WeightedGauc)(scores, label, user)
    times = np.random.default_rng(1).integers(4, size=(5, 40))
    for row, value in zip(times, weighted(times.astype(float)), strict=True):
        drawn = np.repeat(np.arange(400), row[user])
        copies = np.concatenate([np.arange(n) for n in row[user]])
        group = user[drawn] * 4 + copies if metric == "gauc" else np.zeros(len(drawn), np.int64)
        expected = grouped_auc(scores[drawn], label[drawn], group).value
        assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["auc", "gauc"])
def test_auc_interval_covers_no_difference_and_finds_a_large_one(metric: str) -> None:
    covered = 0
    for seed in range(100):
        low, high = bootstrap_auc_difference(
            *click_examples(seed), metric=metric, resamples=200, seed=seed
        )
        covered += low <= 0 <= high
    assert 88 <= covered <= 99
    low, high = bootstrap_auc_difference(*click_examples(0, lift=2.0), metric=metric)
    assert 0 < low < high


def test_auc_interval_repeats_and_mirrors() -> None:
    first, second, label, user = click_examples(0, lift=0.3)
    low, high = bootstrap_auc_difference(first, second, label, user)
    assert bootstrap_auc_difference(first, second, label, user) == (low, high)
    assert bootstrap_auc_difference(first, second, label, user * 7 - 3) == (low, high)
    mirrored = bootstrap_auc_difference(second, first, label, user)
    assert mirrored == pytest.approx((-high, -low))
    assert bootstrap_auc_difference(first, first, label, user) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"second": np.zeros(3)}, r"the same shape \[N\]"),
        ({"label": np.ones(400, bool)}, "auc is not defined"),
        ({"first": np.full(400, np.nan)}, "scores must not be NaN"),
        ({"metric": "f1"}, "metric must be"),
        ({"level": 0.0}, "level must be in"),
    ],
)
def test_auc_interval_refuses(change: dict, message: str) -> None:
    names = ("first", "second", "label", "user")
    arguments = dict(zip(names, click_examples(0), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        bootstrap_auc_difference(**arguments)


def test_auc_interval_of_no_examples_is_refused() -> None:
    none = np.empty(0)
    with pytest.raises(ValueError, match="not defined"):
        bootstrap_auc_difference(none, none, none.astype(bool), none.astype(np.int64))


def test_few_distinct_values_are_drawn_by_their_counts() -> None:
    values = np.repeat([-1.0, 0.0, 1.0], [30, 800, 170])
    means = draw_means(values, resamples=20_000)
    assert means.mean() == pytest.approx(values.mean(), abs=3e-4)
    assert means.std() == pytest.approx(values.std() / len(values) ** 0.5, rel=0.02)
