"""Several workers train the model that one worker trains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import worker_trainings
from sequence_parquet import write_split
from synthetic_histories import ring_dataset
from worker_group import WorkerGroup

CLICK = {"epochs": "2", "batch": "37", "max_len": "6", "width": "4", "hidden": "8", "dropout": "0"}
RANKER = {"epochs": "2", "batch": "13", "width": "8", "heads": "2", "history": "6", "dropout": "0"}
FAMILIES = {
    "din": {**CLICK, "activation": "dice", "tables": "sparse-adam"},
    "hpmn": {**CLICK, "tables": "rowwise-adagrad", "state": "8"},
    "sasrec": RANKER,
}
"""A click model, one with a memory, and a ranker; batches are odd, so that shares differ."""

pytestmark = pytest.mark.slow  # each group of processes imports torch twice


@pytest.fixture(scope="module")
def group() -> Iterator[WorkerGroup]:
    with WorkerGroup("worker_trainings", "recops_models.recipes.click_stage") as group:
        yield group


def results(group: WorkerGroup, size: int, function: str, *arguments: object) -> list[Any]:
    """Return the result of each worker."""
    outcome = group.run(size, f"worker_trainings:{function}", *arguments)
    assert outcome.codes == [0] * size, outcome.output
    return outcome.results


def assert_equal_training(actual: Any, expected: Any) -> None:
    """Compare the first gradients, and the curves, within rounding.

    Weights are not compared: where the exact gradient is 0, Adam makes a full step of a rounding
    error.
    """
    assert actual["gradients"].keys() == expected["gradients"].keys() != set()
    for name, value in expected["gradients"].items():
        bound = 1e-6 + 1e-4 * np.abs(value).max()
        np.testing.assert_allclose(actual["gradients"][name], value, atol=bound, err_msg=name)
    for row, other in zip(actual["curve"], expected["curve"], strict=True):
        assert row == pytest.approx(other, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_two_workers_train_the_model_of_one(name: str, group: WorkerGroup) -> None:
    first, second = results(group, 2, "train", name, FAMILIES[name])
    assert first == second
    (alone,) = results(group, 1, "train", name, FAMILIES[name])
    assert len(alone["curve"]) == 2
    assert_equal_training(first, alone)


def test_two_workers_train_on_streamed_sequences(group: WorkerGroup, tmp_path: Path) -> None:
    write_split(ring_dataset(users=30), tmp_path, row_group=7)
    first, second = results(group, 2, "train", "sasrec", RANKER, False, str(tmp_path))
    assert first == second
    (alone,) = results(group, 1, "train", "sasrec", RANKER, False, str(tmp_path))
    assert len(alone["curve"]) == 2
    assert_equal_training(first, alone)


def test_metrics_are_those_of_all_examples(group: WorkerGroup) -> None:
    expected = worker_trainings.click_metrics(worker_trainings.EXAMPLES)
    for metrics in results(group, 3, "click_metrics", worker_trainings.EXAMPLES):
        assert metrics["auc"] == expected["auc"]  # Ranks are integers.
        assert metrics["auc_known"] == expected["auc_known"]
        assert metrics == pytest.approx(expected, rel=1e-12)


def test_metrics_of_fewer_examples_than_workers(group: WorkerGroup) -> None:
    expected = worker_trainings.click_metrics(2)
    for metrics in results(group, 3, "click_metrics", 2):
        assert metrics == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_gradients_of_every_kind_are_summed(group: WorkerGroup) -> None:
    dense = np.arange(8.0).reshape(4, 2)
    sparse = [[0, 1, 3], [[1.0, 1.0], [1.0, 1.0], [4.0, 4.0]]]
    both = dense + np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [2.0, 2.0]])
    expected = [(2 * dense + 1).tolist(), sparse, both.tolist(), (dense + 1).tolist(), None, [2.0]]
    assert results(group, 2, "gradients") == [expected, expected]


def test_the_first_worker_works_for_all(group: WorkerGroup) -> None:
    assert results(group, 2, "errors") == [
        [[1], 1, "no such file", False],
        [[1], 0, "no such file", True],
    ]


def test_all_workers_stop_when_one_wishes_to(group: WorkerGroup) -> None:
    first, second = results(group, 2, "train", "din", FAMILIES["din"], True)
    assert first["curve"] == []
    assert first == second


def test_the_python_interface_trains_with_all_workers(group: WorkerGroup, tmp_path: Path) -> None:
    (alone,) = results(group, 1, "train_in_python", str(tmp_path / "one"))
    first, second = results(group, 2, "train_in_python", str(tmp_path / "two"))
    assert alone["steps"] == first["steps"] == [1, 2]
    assert second["steps"] == []
    assert first["test"] == second["test"] == pytest.approx(alone["test"], rel=1e-4)
    assert first["users"] == second["users"] == alone["users"]
