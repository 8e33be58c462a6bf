"""AUC and gAUC of groups of click examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recops_models.data import Dataset
from recops_models.evaluation.click_evaluation import ClickEvaluation
from recops_models.evaluation.click_groups import candidate_clicks, click_accuracy_by_group
from recops_models.examples.click import click_data
from recops_models.examples.lookup import UNKNOWN

CLICKS = np.array([0, 0, 9, 6, 1])


def evaluation(length: list[int]) -> ClickEvaluation:
    """Return predictions for items of all popularities, by two users."""
    return ClickEvaluation(
        logits=torch.tensor([3.0, 2.0, 1.0, 0.0, -1.0, -2.0, 4.0, -3.0]),
        probability=torch.full((8,), 0.5),
        label=torch.tensor([1.0, 0, 1, 0, 1, 0, 0, 1]),
        user=torch.tensor([7, 7, 8, 8, 7, 7, 8, 8]),
        known=torch.ones(8, dtype=torch.bool),
        candidate=torch.tensor([2, 2, 2, 2, 4, 1, 1, 4]),
        length=torch.tensor(length),
    )


def test_groups_hold_their_examples_only() -> None:
    groups = click_accuracy_by_group(evaluation([1, 1, 1, 1, 2, 2, 6, 6]), CLICKS)
    assert groups["item_popularity"] == {
        "head": {"examples": 4, "auc": 0.75, "gauc": 1.0},
        "mid": {"examples": 0, "auc": None, "gauc": None},
        "tail": {"examples": 4, "auc": 0.25, "gauc": 0.5},
    }
    assert groups["history_length"] == {
        "short": {"examples": 4, "auc": 0.75, "gauc": 1.0, "events": [1, 1]},
        "medium": {"examples": 2, "auc": 1.0, "gauc": 1.0, "events": [2, 2]},
        "long": {"examples": 2, "auc": 0.0, "gauc": 0.0, "events": [6, 6]},
    }


def test_one_label_has_no_auc() -> None:
    single = replace(evaluation([5] * 8), label=torch.ones(8))
    groups = click_accuracy_by_group(single, CLICKS)
    assert groups["history_length"]["short"] == {
        "examples": 8, "auc": None, "gauc": None, "events": [5, 5]
    }  # fmt: skip


def test_without_a_candidate_there_are_no_groups() -> None:
    no_candidate = replace(evaluation([1] * 8), candidate=None, length=None)
    assert click_accuracy_by_group(no_candidate, CLICKS) == {}
    assert click_accuracy_by_group(evaluation([1] * 8), None) == {}


@pytest.mark.parametrize("rated", [False, True])
def test_clicks_are_those_of_training(rated: bool) -> None:
    rng = np.random.default_rng(0)
    item = rng.integers(0, 12, 300)
    log = {
        "user_id": rng.integers(0, 20, 300),
        "item_id": item,
        "timestamp": np.arange(300),
    }
    if rated:
        log["rating"] = rng.integers(1, 6, 300)
    data = click_data(Dataset.from_frames(log), rare_count=20)
    clicks = candidate_clicks(data.fitted, data.train)
    assert clicks is not None
    lookup = data.fitted.lookup("item")
    assert len(clicks) == lookup.cardinality
    assert not clicks[: UNKNOWN + 1].any()
    liked = log["rating"] >= 4 if rated else np.ones(300, dtype=bool)
    rows = lookup.rows(item[:240][liked[:240]])
    assert (clicks == np.bincount(rows[rows > UNKNOWN], minlength=len(clicks))).all()
    assert 0 < len(clicks) - 2 < 12
