"""Lists of several rankers made one."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch

from recops_models.data.histories import Histories
from recops_models.generative.ensemble import Ensemble
from recops_models.generative.ranker import Ranking, Recommender


class _Listing(Recommender):
    """Lists what it is given."""

    def __init__(self, items: torch.Tensor, scores: torch.Tensor) -> None:
        super().__init__()
        self.items, self.scores = items, scores

    def recommend(self, histories: Histories, k: int) -> Ranking:
        return Ranking(self.items[:, :k], self.scores[:, :k])


def _drawn(seed: int, users: int, length: int, of: int) -> _Listing:
    """Lists of ``length`` items of ``of``, of which some users have fewer."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.stack([torch.randperm(of, generator=generator)[:length] for _ in range(users)])
    scores = torch.randn(users, length, generator=generator).sort(descending=True).values
    items[::3, -2:], scores[::3, -2:] = -1, -torch.inf
    return _Listing(items, scores)


def _nobody(users: int) -> Histories:
    none = np.zeros(0, dtype=np.int64)
    return Histories(np.zeros(users + 1, dtype=np.int64), none, none)


def test_an_item_has_the_sum_of_what_it_is_above_each_lists_last() -> None:
    members = [_drawn(seed, users=9, length=7, of=12) for seed in range(3)]
    found = Ensemble(members, depth=7).recommend(_nobody(9), 30)
    for user in range(9):
        expected: dict[int, float] = defaultdict(float)
        for member in members:
            known = member.items[user] >= 0
            scores = member.scores[user][known]
            for item, score in zip(member.items[user][known].tolist(), scores, strict=True):
                expected[item] += float(score - scores.min())
        there = found.items[user] >= 0
        assert dict(
            zip(found.items[user][there].tolist(), found.scores[user][there].tolist(), strict=True)
        ) == pytest.approx(expected)
        assert (found.scores[user].diff() <= 0)[: int(there.sum()) - 1].all()
        assert (found.scores[user][~there] == -torch.inf).all()


def test_one_member_keeps_its_order() -> None:
    member = _drawn(0, users=4, length=5, of=9)
    assert torch.equal(
        Ensemble([member], depth=5).recommend(_nobody(4), 3).items, member.items[:, :3]
    )


@pytest.mark.parametrize(("members", "depth", "told"), [(0, 5, "members"), (1, 0, "depth")])
def test_no_member_and_no_depth_are_refused(members: int, depth: int, told: str) -> None:
    with pytest.raises(ValueError, match=f"Ensemble: {told} must be"):
        Ensemble([_drawn(0, 1, 3, 5)] * members, depth)
