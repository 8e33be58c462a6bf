"""Weights by inverse propensity: their values, their loss, and what they require."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import recops_models as rm
from click_parquet import write_click_folder
from recops_models.cli import run
from recops_models.click.extractor import Extractor, ExtractorConfig
from recops_models.click.loss import click_loss, training_loss
from recops_models.data import DataError
from recops_models.examples.batch import task_feature
from recops_models.examples.click import click_data
from recops_models.examples.domains import DomainConfig
from recops_models.examples.importance import importance_weights
from recops_models.recipes.knowledge_task import KnowledgeTask
from recops_models.recipes.registry import recipe_of
from recops_models.training.example_config import ExampleConfig


def logged(lists: int = 40, length: int = 3) -> rm.Dataset:
    """Return lists of ``length`` items for four users."""
    rng = np.random.default_rng(0)
    count = lists * length
    number = np.repeat(np.arange(lists), length)
    log = {
        "user_id": number % 4,
        "item_id": np.concatenate([rng.permutation(8)[:length] for _ in range(lists)]),
        "timestamp": number * 10,
        "label": rng.integers(2, size=count),
        "position": np.tile(np.arange(length), lists) + 1,
        "propensity": rng.choice([0.5, 0.25, 0.05], size=count),
        "request": [f"r{each}" for each in number],
    }
    return rm.Dataset.from_frames(log, repeats="keep")


def test_weights_are_clipped_and_have_mean_1() -> None:
    p = np.array([0.5, 0.5, 0.5, 0.01])
    free = importance_weights(p, bound=10)
    assert free.weight.tolist() == pytest.approx((1 / p / (1 / p).mean()).tolist())
    assert free.clipped == 0
    assert free.effective == pytest.approx((1 / p).sum() ** 2 / (1 / p**2).sum())
    clipped = importance_weights(p, bound=2)
    most = 2 * (1 / p).mean()
    expected = np.minimum(1 / p, most)
    assert clipped.weight.tolist() == pytest.approx((expected / expected.mean()).tolist())
    assert clipped.clipped == 0.25
    assert clipped.effective > free.effective
    assert importance_weights(np.full(5, 0.1), bound=1).effective == 5


def test_training_examples_have_their_own_weights() -> None:
    data = logged()
    examples = click_data(data, "global-time", loss="ips", rare_count=1)
    (batch,) = examples.train.batches(10_000, seed=3)
    count = len(batch.label)
    events = data.interactions.slice(0, count)
    weight = importance_weights(events["propensity"].to_numpy(), 10).weight
    rows = zip(
        *(events[name].to_pylist() for name in ("user_id", "label")), weight.tolist(), strict=True
    )
    assert batch.weight is not None
    of_batch = zip(batch.group.tolist(), batch.label.tolist(), batch.weight.tolist(), strict=True)
    assert sorted(of_batch) == sorted(rows)
    (part, *_) = batch.split(7)
    assert torch.equal(part.weight, batch.weight[:7])  # type: ignore[arg-type]
    assert any("loss=ips: effective sample size" in note for note in examples.notes)
    for source in (examples.validation, examples.test):
        assert all(each.weight is None for each in source.batches(64, seed=None))


def test_the_loss_weights_each_example() -> None:
    examples = click_data(logged(), "global-time", loss="ips", rare_count=1, max_len=4)
    (batch,) = examples.train.batches(10_000, seed=None)
    model = recipe_of("din").net(examples.fitted, recipe_of("din").sizes).eval()  # type: ignore[attr-defined, union-attr]
    logits = model(batch)
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, batch.label, reduction="none"
    )
    assert batch.weight is not None
    expected = (each * batch.weight).mean()
    torch.testing.assert_close(click_loss(logits, batch.label, batch.weight), expected)
    torch.testing.assert_close(training_loss(model, batch), expected)
    assert not torch.isclose(training_loss(model, batch._replace(weight=None)), expected)


def test_the_extractor_of_keep_weights_all_tasks() -> None:
    data = logged()
    purchase = pa.array(np.arange(data.interactions.num_rows) % 5 == 0)
    data = dataclasses.replace(
        data,
        interactions=data.interactions.append_column("purchase", purchase.cast(pa.float32())),
        labels=("purchase",),
    )
    examples = ExampleConfig(loss="ips", max_len=4, rare_count=1, rare_share=0.0)
    task = KnowledgeTask(data, DomainConfig(until=0.6), examples)
    assert any("loss=ips: effective sample size" in note for note in task.notes)
    (batch,) = task.data.train.batches(10_000, seed=None)
    assert batch.weight is not None
    assert (batch.weight != 1).any()
    config = ExtractorConfig(width=4, hidden=(8,), tower_hidden=(8,), task_weight=0.5)
    model = Extractor(task.data.fitted, config, task.tasks, len(task.cut.names)).eval()
    labels = torch.stack([batch.label, batch.features[task_feature("purchase")]], 1)
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        model.task_logits(batch), labels, reduction="none"
    )
    expected = (batch.weight[:, None] * each).mean(0) @ torch.tensor([1.0, 0.5])
    torch.testing.assert_close(task.loss(model, batch)[0], expected)


def test_histories_end_before_the_list() -> None:
    examples = click_data(logged(lists=12), "global-time", rare_count=1)
    (batch,) = examples.train.batches(10_000, seed=None)
    lengths = batch.lengths["history_item"]
    for user in batch.group.unique():
        of_user = lengths[batch.group == user]
        expected = torch.arange(len(of_user) // 3).repeat_interleave(3) * 3
        assert torch.equal(of_user, expected)
    assert lengths.max() > 3


def test_weights_require_propensities_and_labels() -> None:
    log = {"user_id": [1, 1, 1, 2, 2, 2], "item_id": [1, 2, 3, 4, 5, 6]}
    log["timestamp"] = [0, 1, 2] * 2
    with pytest.raises(DataError, match="loss=ips requires the column propensity"):
        click_data(rm.Dataset.from_frames(log), "leave-one-out", loss="ips")
    log["propensity"] = [0.5] * 6  # type: ignore[assignment]
    with pytest.raises(DataError, match="loss=ips requires labels of impressions"):
        click_data(rm.Dataset.from_frames(log), "leave-one-out", loss="ips")


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="setting loss must be one of cross-entropy, ips"):
        rm.train("din", logged(), {"loss": "dr"})
    with pytest.raises(ValueError, match="max_weight must be > 0, got 0"):
        rm.train("din", logged(), {"max_weight": 0})


def test_models_and_data_without_weights_refuse_the_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="rates: loss must be cross-entropy, as rates are counts"):
        rm.train("rates", logged(), {"loss": "ips"})
    folder = tmp_path / "examples"
    write_click_folder(folder, megabytes=0.2)
    command = ["train", "sum-pool", "--data", str(folder), "--out", str(tmp_path / "out")]
    assert run([*command, "--set", "loss=ips"]) == 1
    error = capsys.readouterr().err
    assert "sum-pool: loss=ips requires a data set of impressions" in error


@pytest.mark.slow
def test_every_click_model_trains_with_weights() -> None:
    settings = {"loss": "ips", "epochs": 1, "max_len": 4}
    for name in ("age", "rocket", "res-embedding", "keep"):
        more = {"extracting.epochs": 1, "until": 0.5} if name == "keep" else {}
        model = rm.train(name, logged(lists=120), settings | more)
        assert model.metrics["test"]["logloss"] < 5
        assert any("loss=ips: effective sample size" in note for note in model.metrics["notes"])
