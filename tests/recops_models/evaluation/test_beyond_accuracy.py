"""Novelty, popularity lift, and accuracy per group of users."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recops_models.data import Examples
from recops_models.evaluation.beyond_accuracy import (
    accuracy_by_group,
    beyond_accuracy,
    length_groups,
    popularity_groups,
)
from recops_models.evaluation.metrics import Evaluation
from synthetic_histories import histories

COUNTS = np.array([8, 4, 2, 2, 0])


def test_values_of_a_small_example() -> None:
    past = histories([np.array([0, 1]), np.array([2, -1])])
    values = beyond_accuracy(torch.tensor([[2, 4, -1], [0, -1, -1]]), past, COUNTS)
    # User 0: item 2 has an eighth of the events, item 4 counts as one of 16 events.
    assert values["novelty"] == ((3 + 4) / 2 + 1) / 2
    # The lists have the mean counts 1 and 8, the histories 6 and 2: an unknown item is skipped.
    assert values["popularity_lift"] == 4.5 / 4 - 1


def test_only_the_first_ten_items_count() -> None:
    past, counts = histories([np.array([0])]), np.ones(12, dtype=np.int64)
    counts[10:] = 100
    items = torch.arange(12)[None]
    assert beyond_accuracy(items, past, counts) == beyond_accuracy(items[:, :10], past, counts)


def test_users_without_recommendations_are_left_out() -> None:
    past = histories([np.array([0]), np.array([0])])
    one = beyond_accuracy(torch.tensor([[1], [-1]]), past, COUNTS)
    assert one["novelty"] == 2
    none = beyond_accuracy(torch.tensor([[-1], [-1]]), past, COUNTS)
    assert math.isnan(none["novelty"])
    assert math.isnan(none["popularity_lift"])


def test_the_lift_is_undefined_for_histories_without_training_events() -> None:
    past = histories([np.array([4])])
    assert math.isnan(beyond_accuracy(torch.tensor([[0]]), past, COUNTS)["popularity_lift"])


def test_each_popularity_group_has_a_third_of_the_events() -> None:
    assert popularity_groups(COUNTS).tolist() == [0, 1, 2, 2, 2]
    groups = popularity_groups(np.full(9, 5))
    assert groups.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    counts = np.random.default_rng(0).zipf(1.6, 500).clip(max=60)
    events = np.bincount(popularity_groups(counts), weights=counts) / counts.sum()
    assert events == pytest.approx(np.full(3, 1 / 3), abs=60 / counts.sum())


def test_users_of_equal_length_are_in_one_group() -> None:
    lengths = np.array([7, 2, 2, 3, 9, 5, 2])
    groups = length_groups(lengths)
    assert groups.tolist() == [2, 0, 0, 1, 2, 1, 0]
    assert length_groups(np.array([4, 4])).tolist() == [0, 0]
    assert length_groups(np.empty(0, dtype=np.int64)).tolist() == []


def test_groups_divide_the_users() -> None:
    past = histories([np.array([0, 1, 2]), np.array([0]), np.array([1])])
    targets = histories([np.array([3]), np.array([1]), np.array([0])])
    ranks = torch.tensor([0, 2, 50])
    evaluation = Evaluation(torch.empty(3, 0, dtype=torch.int64), ranks, {})
    groups = accuracy_by_group(evaluation, Examples(np.arange(3), past, targets), COUNTS)
    assert groups["item_popularity"] == {
        "head": {"users": 1, "hr@10": 0.0, "ndcg@10": 0.0},
        "mid": {"users": 1, "hr@10": 1.0, "ndcg@10": 0.5},
        "tail": {"users": 1, "hr@10": 1.0, "ndcg@10": 1.0},
    }
    assert groups["history_length"] == {
        "short": {"users": 2, "hr@10": 0.5, "ndcg@10": 0.25, "events": [1, 1]},
        "medium": {"users": 0, "hr@10": None, "ndcg@10": None, "events": None},
        "long": {"users": 1, "hr@10": 1.0, "ndcg@10": 1.0, "events": [3, 3]},
    }
