"""Jobs from typed settings and from texts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recops_models.generative.sasrec import SASRecConfig
from recops_models.recipes.job import Job
from recops_models.recipes.parts import part
from recops_models.recipes.setting_text import parse_settings
from recops_models.training.config import TrainingConfig


def test_texts_are_parsed_into_values() -> None:
    texts = {"epochs": "3", "hidden": "64,32", "table_learning_rate": "none", "compile": "true"}
    values = {"epochs": 3, "hidden": (64, 32), "table_learning_rate": None, "compile": True}
    assert parse_settings("din", texts) == values
    dotted = parse_settings("age", {"base": "hpmn", "base.state": "8"})
    assert dotted == {"base": "hpmn", "base.state": 8}


def test_typed_settings_and_texts_give_equal_configurations() -> None:
    texts = {"learning_rate": "1", "dropout": "0.5", "select": "last"}
    typed = {"learning_rate": 1, "dropout": 0.5, "select": "last"}
    jobs = [
        Job.of("sasrec", "shop", settings, seed=0, quick=False)
        for settings in (typed, parse_settings("sasrec", texts))
    ]
    first, second = (json.dumps(job.config()) for job in jobs)
    assert first == second
    assert part(jobs[0].parts, "sizes", SASRecConfig).dropout == 0.5
    rate = part(jobs[0].parts, "training", TrainingConfig).learning_rate
    assert isinstance(rate, float)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "3"}, "setting epochs must be int, got '3'"),
        ({"epochs": True}, "setting epochs must be int, got True"),
        ({"learning_rate": "1e-3"}, "setting learning_rate must be float, got '1e-3'"),
        ({"learning_rate": float("nan")}, "setting learning_rate must be finite, got nan"),
        ({"tables": "sgd"}, "setting tables must be one of adamw, adam, sparse-adam"),
        ({"hidden": [64, 32]}, r"setting hidden must be ints with commas between, got \[64, 32\]"),
        ({"base.width": 3}, "din has no setting 'base.width'; available: "),
    ],
)
def test_values_of_another_type_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Job.of("din", "shop", settings, seed=0, quick=False)
