"""Every model of the registry trains, ranks and scores on the fake device as on the CPU.

The settings have no dropout, whose masks differ between devices. Between two steps of training the
host may not wait for the device.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from callback_doubles import Interrupt
from fake_device import DEVICE, host_waits, varying_sums
from jobs import job_of
from recops_models.generative.ranker import Ranker, Recommender, seen_items
from recops_models.generative.windows import last_windows
from recops_models.layers.dropout import Dropout
from recops_models.recipes.job import Job
from recops_models.recipes.registry import names, recipe_of
from recops_models.recipes.run import load_trained, open_data, train_job
from recops_models.recipes.stage import TrainResult
from recops_models.tokenizers.methods.rq_kmeans import RQKMeans
from recops_models.training import device
from recops_models.training.click_task import ExampleTask
from recops_models.training.device import to_device
from step_waits import waits_of_steps
from stored_fixtures.trainings import SETTINGS

STEPS = {"batch": "32", "epochs": "1"}
TOLERANCE = {"dien": 0.05}
"""Relative tolerances of losses. DIEN draws other events on a device without float64."""


@pytest.fixture
def same_semantic_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit tokenizers on the CPU; test_tokenizers.py fits them on the device.

    Rounding can change the code of an item between two centres, and with it the training.
    """
    fit = RQKMeans.fit

    def fit_on_cpu(tokenizer: RQKMeans, *arguments: Any, **keywords: Any) -> RQKMeans:
        return fit(tokenizer, *arguments, **{**keywords, "device": "cpu"})

    monkeypatch.setattr(RQKMeans, "fit", fit_on_cpu)


def job(name: str, data: Path, **settings: str) -> Job:
    """Return a small job without dropout."""
    steps = STEPS if "training" in recipe_of(name).defaults() else {}
    job = job_of(name, str(data), {**SETTINGS[name], **steps, **settings}, seed=0, quick=False)
    parts = {
        part: dataclasses.replace(values, dropout=0.0) if hasattr(values, "dropout") else values
        for part, values in job.parts.items()
    }
    return dataclasses.replace(job, parts=parts)


@pytest.fixture(scope="module")
def host(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TrainResult]:
    """Return a function that trains a model on the CPU once."""
    results: dict[str, TrainResult] = {}

    def trained(name: str) -> TrainResult:
        if name not in results:
            one = job(name, shop)
            folder = tmp_path_factory.mktemp(name)
            results[name] = train_job(one, open_data(one), folder, device="cpu")
        return results[name]

    return trained


def prove(one: Job, folder: Path) -> TrainResult:
    """Train a job on the device.

    Check that no step waits for it, that no sum varies from run to run, and that the result is on
    the device.
    """
    with waits_of_steps() as waits, varying_sums() as sums:
        result = train_job(one, open_data(one), folder, device=DEVICE)
    assert waits == []
    assert sums == []
    assert {tensor.device for tensor in on_device(result.model)} == {DEVICE}
    return result


def on_device(model: nn.Module) -> list[Tensor]:
    """Return the tensors of a model that move; generator states stay on the CPU."""
    return [value for name, value in model.state_dict().items() if "booster_stream" not in name]


@pytest.mark.usefixtures("same_semantic_ids")
@pytest.mark.parametrize("name", names())
def test_training_equals_that_on_the_cpu(
    name: str, shop: Path, tmp_path: Path, host: Callable[[str], TrainResult]
) -> None:
    result, expected = prove(job(name, shop), tmp_path), host(name)
    tolerance = TOLERANCE.get(name, 1e-4)
    for epoch, correct in zip(result.curve, expected.curve, strict=True):
        assert epoch.train_loss == pytest.approx(correct.train_loss, rel=tolerance)
        assert epoch.validation.keys() == correct.validation.keys()


@pytest.mark.parametrize("name", ["sum-pool", "sasrec"])
def test_the_files_of_a_training_are_read_on_the_cpu(name: str, shop: Path, tmp_path: Path) -> None:
    weights = prove(job(name, shop), tmp_path).model.state_dict()
    _, stored = load_trained(tmp_path)
    for key, value in stored.state_dict().items():
        assert value.device.type == "cpu"
        assert torch.equal(value, weights[key].cpu()), key


@pytest.mark.parametrize("name", names())
def test_scores_equal_those_on_the_cpu(name: str, host: Callable[[str], TrainResult]) -> None:
    result = host(name)
    model = result.model.eval()
    moved = copy.deepcopy(model).to(DEVICE)
    if isinstance(result.task, ExampleTask):
        assert_equal_logits(model, moved, result.task)
    elif isinstance(model, Ranker):
        assert_equal_rankings(model, moved, result.task)
    else:
        assert isinstance(model, Recommender)
        histories = result.task.train.take(np.arange(8))
        actual, expected = (each.recommend(histories, 5) for each in (moved, model))
        torch.testing.assert_close(actual.scores, expected.scores, check_dtype=False)
        # float32 may swap neighbours that differ only in float64.
        is_near = expected.scores.diff(dim=1).abs() < 1e-6 * expected.scores.abs().max()
        is_tied = F.pad(is_near, (1, 0)) | F.pad(is_near, (0, 1))
        assert torch.equal(actual.items.where(~is_tied, 0), expected.items.where(~is_tied, 0))
        assert torch.equal(actual.items.sort(1).values, expected.items.sort(1).values)


@torch.no_grad()
def assert_equal_logits(model: nn.Module, moved: nn.Module, task: ExampleTask[Any]) -> None:
    """Compare the logits of a click model; its forward pass may not wait for the device."""
    batch = next(iter(task.data.validation.batches(64, seed=None)))
    there = to_device(batch, DEVICE)
    with host_waits() as waits:
        logits = moved(there)
    assert waits == []
    torch.testing.assert_close(logits.cpu(), model(batch), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def assert_equal_rankings(model: Ranker, moved: Ranker, task: Any) -> None:
    """Compare the items that a ranker decodes after some histories."""
    histories = task.train.take(np.arange(8))
    requests = (*last_windows(histories, model.window), 5, seen_items(histories))
    expected = model.decode(*requests)
    actual = moved.decode(*to_device(requests, DEVICE))
    assert torch.equal(actual.items.cpu(), expected.items)
    torch.testing.assert_close(actual.scores.cpu(), expected.scores)


def test_the_loss_is_read_at_intervals(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_READ_EVERY", 2)
    one = job("sum-pool", shop)
    with waits_of_steps(with_losses=True) as waits:
        result = train_job(one, open_data(one), tmp_path, device=DEVICE)
    steps = -(-result.task.data.train.num_examples // 32)
    assert len(waits) == -(-steps // 2)


# ---- Defects that the proof must find.

DEFECTS: dict[str, tuple[Callable[[Tensor], Tensor], type[Exception]]] = {
    "a tensor without device": (lambda x: x + torch.arange(x.shape[-1]), RuntimeError),
    "a copy to the host": (lambda x: x.cpu().to(x.device) + x, AssertionError),
    "a branch on values": (lambda x: x if x.sum() > 0 else -x, AssertionError),
    "a boolean index": (lambda x: x + x[x > 0].sum(), AssertionError),
    "a sum in any order": (lambda x: x + x.cumsum(-1), AssertionError),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(
    defect: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, error = DEFECTS[defect]
    forward = Dropout.forward
    monkeypatch.setattr(Dropout, "forward", lambda self, x: plant(forward(self, x)))
    one = job("sasrec", shop)
    train_job(one, open_data(one), tmp_path, device="cpu")  # The CPU does not show it.
    with pytest.raises(error):
        prove(one, tmp_path)


SETTINGS_TO_PROVE = [
    ("unirec", {"align": "both"}),
    ("unirec", {"collaborative": "true"}),
    ("tiger", {"reading": "whole"}),
    ("dien", {"evolution": "agru"}),
    ("can", {"orders": "2"}),
    ("mimn", {"utilization": "paper"}),
    ("mimn", {"compat": "channels"}),
    ("hpmn", {"covariance": "norm"}),
    ("rocket", {"share": "none", "hint": "kd", "hint_warmup": "5"}),
    ("res-embedding", {"attention": "4", "decay": "0.1"}),
    *((name, {"precision": "bf16"}) for name in ("can", "mimn", "hpmn", "age", "keep")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), SETTINGS_TO_PROVE, ids=str)
def test_other_settings_train_on_the_device(
    name: str, settings: dict[str, str], shop: Path, tmp_path: Path
) -> None:
    result = prove(job(name, shop, **settings), tmp_path)
    assert 0 < result.curve[0].train_loss < 10


@pytest.mark.parametrize("tables", ["sparse-adam", "rowwise-adagrad"])
def test_sparse_tables_wait_for_their_rows_only(tables: str, shop: Path, tmp_path: Path) -> None:
    one = job("din", shop, tables=tables)
    with waits_of_steps() as waits:
        result = train_job(one, open_data(one), tmp_path, device=DEVICE)
    assert {wait.partition(" ")[0] for wait in waits} == {"_coalesce"}
    assert 0 < result.curve[0].train_loss < 1


@pytest.mark.parametrize(("first", "second"), [("cpu", DEVICE), (DEVICE, "cpu"), (DEVICE, DEVICE)])
def test_a_checkpoint_resumes_on_any_device(
    first: str | torch.device, second: str | torch.device, shop: Path, tmp_path: Path
) -> None:
    one = job("din", shop, checkpoint_minutes="0")
    uninterrupted, interrupted = tmp_path / "one", tmp_path / "two"
    for folder in (uninterrupted, interrupted):
        folder.mkdir()
    expected = train_job(one, open_data(one), uninterrupted, device=second)
    with pytest.raises(KeyboardInterrupt):
        train_job(one, open_data(one), interrupted, device=first, callbacks=Interrupt(after=0.4))
    result = train_job(one, open_data(one), interrupted, device=second, resume=True)
    tolerance = 0 if first == second else 1e-4
    assert result.curve[0].train_loss == pytest.approx(expected.curve[0].train_loss, rel=tolerance)
    for name, weights in expected.model.state_dict().items():
        resumed = result.model.state_dict()[name]
        torch.testing.assert_close(resumed, weights, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["sasrec", "din"])
def test_dropout_and_bfloat16_train_without_waits(name: str, shop: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS[name], **STEPS, "precision": "bf16", "dropout": "0.2"}
    result = prove(job_of(name, str(shop), settings, seed=0, quick=False), tmp_path)
    assert 0 < result.curve[0].train_loss < 10
