"""Bootstrap draws of users, stored with runs, and the difference of two arms in them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recops_evidence.harness.user_draws import UserDraws, user_difference
from recops_models.evaluation.weighted_ratio import WeightedRatio

IDS = np.arange(50) * 10**12


def run(seed: int, ids: np.ndarray = IDS, metric: str = "hr@10") -> UserDraws:
    """Return draws of a hit rate; each user is a hit with probability 1/3."""
    hit = (np.random.default_rng(seed).random(len(ids)) < 1 / 3).astype(float)
    mean = WeightedRatio(hit, np.ones(len(ids)), np.arange(len(ids)), len(ids))
    return UserDraws.of(ids, {metric: mean}, len(ids))


def test_draws_survive_json_bit_for_bit() -> None:
    draws = run(0)
    restored = UserDraws.from_json(json.loads(json.dumps(draws.to_json())))
    assert restored.users == draws.users
    assert restored.figures.keys() == draws.figures.keys()
    np.testing.assert_array_equal(restored.figures["hr@10"], draws.figures["hr@10"])
    assert len(json.dumps(draws.to_json())) < 6000
    for damaged in ({"users": 1, "figures": {}}, {"users": "a", "figures": {"auc": "%"}}):
        with pytest.raises(ValueError, match=r".+"):
            UserDraws.from_json(damaged)


def test_seeds_are_pooled_within_each_draw_of_users() -> None:
    first, second = [run(seed) for seed in range(3)], [run(seed) for seed in range(3, 6)]
    pooled = user_difference("hr@10", first, second)
    assert pooled is not None
    per_seed = [user_difference("hr@10", [a], [b]) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(pooled, np.mean(per_seed, axis=0), rtol=1e-12)
    assert pooled.std() < np.mean([one.std() for one in per_seed if one is not None])
    unchanged = user_difference("hr@10", first, first)
    assert unchanged is not None
    assert not unchanged.any()


def test_draws_with_an_undefined_metric_are_excluded() -> None:
    one_user = WeightedRatio(np.ones(1), np.ones(1), np.zeros(1, dtype=np.int64), 50)
    draws = UserDraws.of(IDS, {"hr@10_liked": one_user}, 50)
    defined = np.isfinite(draws.figures["hr@10_liked"])
    assert 0.5 < defined.mean() < 0.75  # A draw contains that user with probability 1 − 1 / e.
    difference = user_difference("hr@10_liked", [draws], [draws])
    assert difference is not None
    assert difference.tolist() == [0.0] * defined.sum()


def test_different_users_or_metrics_have_no_difference() -> None:
    assert user_difference("hr@10", [run(0)], [run(1, IDS + 1)]) is None
    assert user_difference("hr@10", [run(0)], [run(1, metric="hr@50")]) is None
    assert user_difference("hr@10", [run(0), None], [run(1), run(2)]) is None
    changing_users = [run(0), run(1, IDS + 1)]  # The users differ between seeds.
    assert user_difference("hr@10", changing_users, changing_users) is None
