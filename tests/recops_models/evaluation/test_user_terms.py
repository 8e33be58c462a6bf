"""Linear terms of gAUC: means, intervals, and errors."""

from __future__ import annotations

import numpy as np
import pytest

from recops_models.evaluation.grouped_auc import grouped_auc
from recops_models.evaluation.user_terms import gauc_terms
from recops_models.evaluation.weighted_auc import WeightedGauc

USERS = 60


def examples(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores with ties, labels and users; users differ in mean and number of examples."""
    rng = np.random.default_rng(seed)
    user = np.sort(rng.integers(USERS, size=900))
    label = rng.random(900) < 0.4
    scores = np.round(label + rng.normal(size=900) + rng.normal(size=USERS)[user], 1)
    return scores, label, user


def test_the_mean_of_the_terms_is_the_metric() -> None:
    scores, label, user = examples(0)
    expected = grouped_auc(scores, label, user).value
    assert gauc_terms(scores, label, user, USERS).mean() == pytest.approx(expected)


def test_their_spread_over_users_is_that_of_the_metric() -> None:
    scores, label, user = examples(1)
    times = np.random.default_rng(2).multinomial(USERS, np.full(USERS, 1 / USERS), size=2000)
    linear = times @ gauc_terms(scores, label, user, USERS) / USERS
    bootstrap = WeightedGauc(scores, label, user)(times.astype(np.float64))
    assert np.corrcoef(linear, bootstrap)[0, 1] > 0.98
    assert linear.std() == pytest.approx(bootstrap.std(), rel=0.1)


def test_a_user_with_one_label_has_the_metric_as_term() -> None:
    scores, label = np.array([0.1, 0.9, 0.4]), np.array([False, True, True])
    value = gauc_terms(scores, label, np.array([0, 0, 1]), 3)
    np.testing.assert_allclose(value, [1.0, 1.0, 1.0])


def test_a_missing_label_is_refused() -> None:
    ones = np.ones(2, dtype=np.bool_)
    with pytest.raises(ValueError, match="gauc_terms: a user must have both labels"):
        gauc_terms(np.zeros(2), ones, np.zeros(2, dtype=np.int64), 1)
