"""Draws of users that records of runs keep, and differences of two arms in them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recops_evidence.harness.user_draws import UserDraws, user_difference
from recops_models.evaluation.weighted_ratio import WeightedRatio

IDS = np.arange(50) * 10**12


def run(seed: int, ids: np.ndarray = IDS, metric: str = "hr@10") -> UserDraws:
    """Hits of users, a third of them."""
    hit = (np.random.default_rng(seed).random(len(ids)) < 1 / 3).astype(float)
    mean = WeightedRatio(hit, np.ones(len(ids)), np.arange(len(ids)), len(ids))
    return UserDraws.of(ids, {metric: mean}, len(ids))


def test_they_are_kept_as_text_to_the_bit() -> None:
    draws = run(0)
    again = UserDraws.from_json(json.loads(json.dumps(draws.to_json())))
    assert again.users == draws.users
    assert again.figures.keys() == draws.figures.keys()
    np.testing.assert_array_equal(again.figures["hr@10"], draws.figures["hr@10"])
    assert len(json.dumps(draws.to_json())) < 6000
    for broken in ({"users": 1, "figures": {}}, {"users": "a", "figures": {"auc": "%"}}):
        with pytest.raises(ValueError, match=r".+"):
            UserDraws.from_json(broken)


def test_seeds_are_pooled_under_the_same_draws_of_users() -> None:
    first, second = [run(seed) for seed in range(3)], [run(seed) for seed in range(3, 6)]
    drawn = user_difference("hr@10", first, second)
    assert drawn is not None
    each = [user_difference("hr@10", [a], [b]) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(drawn, np.mean(each, axis=0), rtol=1e-12)
    assert drawn.std() < np.mean([one.std() for one in each if one is not None])
    nothing = user_difference("hr@10", first, first)
    assert nothing is not None
    assert not nothing.any()


def test_draws_in_which_a_figure_is_not_defined_are_left_out() -> None:
    few = WeightedRatio(np.ones(1), np.ones(1), np.zeros(1, dtype=np.int64), 50)
    draws = UserDraws.of(IDS, {"hr@10_liked": few}, 50)
    known = np.isfinite(draws.figures["hr@10_liked"])
    assert 0.5 < known.mean() < 0.75  # 1 − 1 / e of the draws have that user.
    drawn = user_difference("hr@10_liked", [draws], [draws])
    assert drawn is not None
    assert drawn.tolist() == [0.0] * known.sum()


def test_of_other_users_or_metrics_there_is_no_difference() -> None:
    assert user_difference("hr@10", [run(0)], [run(1, IDS + 1)]) is None
    assert user_difference("hr@10", [run(0)], [run(1, metric="hr@50")]) is None
    assert user_difference("hr@10", [run(0), None], [run(1), run(2)]) is None
    of_others = [run(0), run(1, IDS + 1)]  # Another draw of users each seed.
    assert user_difference("hr@10", of_others, of_others) is None
