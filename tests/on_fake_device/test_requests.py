"""Evaluation, recommendations, exploration and diagnosis of models on the fake device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fake_device import DEVICE, host_waits
from jobs import job_of
from recops_models.cli.request_timing import request_timing
from recops_models.data import Dataset, load
from recops_models.evaluation.beam_recall import beam_recall
from recops_models.recipes.recommending import ready_model
from recops_models.recipes.requested_users import requested_users
from recops_models.recipes.run import load_trained, run_job, task_of
from recops_models.recipes.semantic_ids import load_semantic_ids
from recops_models.tokenizers.diagnosis import diagnose
from stored_fixtures.trainings import SETTINGS

NAMES = ("popularity", "sasrec", "tiger", "unirec", "din", "age")


@pytest.fixture(scope="module")
def trained(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folder of each model, trained on the CPU."""
    folders = {}
    for name in NAMES:
        folders[name] = tmp_path_factory.mktemp(name)
        job = job_of(name, str(shop), dict(SETTINGS[name]), seed=0, quick=True)
        run_job(job, load(shop), folders[name], device="cpu")
    return folders


@pytest.fixture(scope="module")
def dataset(shop: Path) -> Dataset:
    return load(shop)


def opened(folder: Path, dataset: Dataset, device: str | torch.device) -> tuple[Any, Any, Any]:
    """Return the job, the model on ``device``, and its task."""
    job, model = load_trained(folder, device=device)
    return job, model, task_of(job, dataset, model)


@pytest.mark.parametrize("name", NAMES)
def test_metrics_equal_those_on_the_cpu(
    name: str, trained: dict[str, Path], dataset: Dataset
) -> None:
    results = []
    for device in (DEVICE, "cpu"):
        _, model, task = opened(trained[name], dataset, device)
        results.append(task.measure(model, "test")[0])
    assert results[0] == pytest.approx(results[1], rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_lists_of_many_users_equal_those_on_the_cpu(
    name: str, trained: dict[str, Path], dataset: Dataset
) -> None:
    tables = []
    for device in (DEVICE, "cpu"):
        job, model, _ = opened(trained[name], dataset, device)
        ready = ready_model(trained[name], job, model, dataset, seed=3 if name == "age" else None)
        users = requested_users("all", ready.dataset)[:6]
        tables.append(ready.lists(ready.requests(users), 5))
    actual, expected = tables
    np.testing.assert_allclose(actual["score"], expected["score"], rtol=1e-4)
    # Items whose scores are nearly equal may swap places.
    assert np.mean(actual["item"].to_numpy() == expected["item"].to_numpy()) > 0.8


def test_recall_of_beams_and_latency(trained: dict[str, Path], dataset: Dataset) -> None:
    recalls = []
    for device in (DEVICE, "cpu"):
        _, model, task = opened(trained["tiger"], dataset, device)
        recalls.append(beam_recall(model, task.test, beams=4))
    assert recalls[0] == pytest.approx(recalls[1])
    job, model, _ = opened(trained["unirec"], dataset, DEVICE)
    ready = ready_model(trained["unirec"], job, model, dataset)
    with host_waits() as waits:
        text = request_timing(ready, ready.requests(np.array([0])), 3)
    assert "ms per request" in text
    assert any("synchronize" in wait for wait in waits)


def test_a_diagnosis_equals_that_on_the_cpu(trained: dict[str, Path]) -> None:
    sids = load_semantic_ids(trained["tiger"])
    vectors = torch.from_numpy(sids.vectors.vectors)
    pairs = torch.tensor([[0, 1], [2, 3], [4, 5], [6, 7]])
    actual, expected = (
        diagnose(sids.codes, sids.tokenizer, vectors=vectors, pairs=pairs, device=device)
        for device in (DEVICE, "cpu")
    )
    assert actual.keys() == expected.keys()
    assert actual["behaviour"] == expected["behaviour"]
    assert actual["greedy_share"] == expected["greedy_share"]
    for one, other in zip(actual["flips"], expected["flips"], strict=True):
        assert one["path"] == pytest.approx(other["path"], abs=0.05)
