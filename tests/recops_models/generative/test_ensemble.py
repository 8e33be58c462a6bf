"""Ensemble of the lists of several recommenders."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
import torch

from recops_models.data.histories import Histories
from recops_models.generative.ensemble import Ensemble
from recops_models.generative.ranker import Ranking, Recommender


class _FixedLists(Recommender):
    """Recommender with fixed lists."""

    def __init__(self, items: torch.Tensor, scores: torch.Tensor) -> None:
        super().__init__()
        self.items, self.scores = items, scores

    def recommend(self, histories: Histories, k: int) -> Ranking:
        return Ranking(self.items[:, :k], self.scores[:, :k])


def _random_lists(seed: int, users: int, length: int, num_items: int) -> _FixedLists:
    """Return random lists of ``length`` of ``num_items`` items; every third user has two fewer."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.stack(
        [torch.randperm(num_items, generator=generator)[:length] for _ in range(users)]
    )
    scores = torch.randn(users, length, generator=generator).sort(descending=True).values
    items[::3, -2:], scores[::3, -2:] = -1, -torch.inf
    return _FixedLists(items, scores)


def _empty_histories(users: int) -> Histories:
    none = np.zeros(0, dtype=np.int64)
    return Histories(np.zeros(users + 1, dtype=np.int64), none, none)


def test_an_item_scores_the_sum_of_its_margins_over_the_last_of_each_list() -> None:
    members = [_random_lists(seed, users=9, length=7, num_items=12) for seed in range(3)]
    ranking = Ensemble(members, depth=7).recommend(_empty_histories(9), 30)
    for user in range(9):
        expected: dict[int, float] = defaultdict(float)
        for member in members:
            known = member.items[user] >= 0
            scores = member.scores[user][known]
            for item, score in zip(member.items[user][known].tolist(), scores, strict=True):
                expected[item] += float(score - scores.min())
        is_item = ranking.items[user] >= 0
        assert dict(
            zip(
                ranking.items[user][is_item].tolist(),
                ranking.scores[user][is_item].tolist(),
                strict=True,
            )
        ) == pytest.approx(expected)
        assert (ranking.scores[user].diff() <= 0)[: int(is_item.sum()) - 1].all()
        assert (ranking.scores[user][~is_item] == -torch.inf).all()


def test_a_single_member_keeps_its_order() -> None:
    member = _random_lists(0, users=4, length=5, num_items=9)
    assert torch.equal(
        Ensemble([member], depth=5).recommend(_empty_histories(4), 3).items, member.items[:, :3]
    )


@pytest.mark.parametrize(("members", "depth", "name"), [(0, 5, "members"), (1, 0, "depth")])
def test_no_members_and_zero_depth_are_errors(members: int, depth: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"Ensemble: {name} must be"):
        Ensemble([_random_lists(0, 1, 3, 5)] * members, depth)


def test_a_mixture_adds_the_shares_of_each_list() -> None:
    members = [_random_lists(seed, users=9, length=7, num_items=12) for seed in range(3)]
    ranking = Ensemble(members, depth=7, merge="mixture").recommend(_empty_histories(9), 30)
    for user in range(9):
        shares: dict[int, float] = defaultdict(float)
        for member in members:
            known = member.items[user] >= 0
            each = member.scores[user][known].softmax(0).tolist()
            for item, share in zip(member.items[user][known].tolist(), each, strict=True):
                shares[item] += share
        is_item = ranking.items[user] >= 0
        expected = {item: math.log(share) for item, share in shares.items()}
        listed = ranking.items[user][is_item].tolist()
        scores = ranking.scores[user][is_item].tolist()
        assert dict(zip(listed, scores, strict=True)) == pytest.approx(expected, abs=1e-5)
        assert scores == sorted(scores, reverse=True)
        assert (ranking.scores[user][~is_item] == -torch.inf).all()


def test_a_mixture_keeps_what_one_member_is_sure_of() -> None:
    """Members A and B agree on item 2; A alone lists item 0, of which it is sure."""
    a = _FixedLists(torch.tensor([[0, 2]]), torch.tensor([[-0.1, -2.4]]))
    b = _FixedLists(torch.tensor([[2, 1]]), torch.tensor([[-1.2, -1.5]]))
    c = _FixedLists(torch.tensor([[2, 1]]), torch.tensor([[-0.6, -0.7]]))
    one = _empty_histories(1)
    merged = Ensemble([a, b], depth=2, merge="mixture").recommend(one, 3)
    assert merged.items.tolist() == [[0, 2, 1]]
    assert Ensemble([a, c, b], depth=2, merge="mixture").recommend(one, 1).items.item() == 2


def test_a_mixture_of_scores_far_apart_underflows_nowhere() -> None:
    member = _FixedLists(torch.tensor([[3, 5, 4]]), torch.tensor([[0.0, -500.0, -900.0]]))
    ranking = Ensemble([member], depth=3, merge="mixture").recommend(_empty_histories(1), 4)
    assert ranking.items.tolist() == [[3, 5, 4]]
    assert ranking.scores[0, :3].tolist() == pytest.approx([0.0, -500.0, -900.0])


def test_an_unknown_merge_is_an_error() -> None:
    with pytest.raises(ValueError, match="Ensemble: merge must be product or mixture, got 'sum'"):
        Ensemble([_random_lists(0, 1, 3, 5)], merge="sum")
