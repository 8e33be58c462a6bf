"""Training of Rocket: the light net alone, interruptions, with and without a teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from callback_doubles import Interrupt
from jobs import job_of
from recops.files import load_tensors, read_json
from recops_models.cli import run
from recops_models.click.din import Din
from recops_models.click.gru_attention import GruAttention
from recops_models.click.sum_pool import SumPool
from recops_models.data import Dataset, load
from recops_models.recipes.run import load_trained, run_job
from recops_models.recipes.stage import TrainResult
from synthetic_histories import write_ring

MODEL = "model.safetensors"


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


def train(
    model: str, data: Dataset, folder: Path, *, resume: bool = False, **settings: Any
) -> TrainResult:
    folder.mkdir(exist_ok=True)
    callbacks = settings.pop("callbacks", None)
    text = {"batch": "32", "max_len": "6", **settings}
    job = job_of(model, "small", text, seed=3, quick=True)
    return run_job(job, data, folder, resume=resume, callbacks=callbacks)


def rocket(data: Dataset, folder: Path, **settings: Any) -> TrainResult:
    nets = {"light.hidden": "6", "booster.hidden": "16", "light.width": "4", "booster.width": "4"}
    return train("rocket", data, folder, **{**nets, **settings})


def test_without_sharing_and_hint_the_light_net_is_the_one_trained_alone(
    small: Dataset, tmp_path: Path
) -> None:
    """Both nets use dropout, and gradients are clipped in every step."""
    alone = train("din", small, tmp_path / "alone", width="4", hidden="6", clip="0.01")
    expected = (tmp_path / "alone" / MODEL).read_bytes()
    settings = {"share": "none", "clip": "0.01", "booster": "gru-attention", "light": "din"}
    joint = rocket(small, tmp_path / "joint", hint_weight="0", **settings)
    assert (tmp_path / "joint" / MODEL).read_bytes() == expected
    metrics = dict(joint.metrics["test"])
    assert metrics.pop("booster_auc") != metrics["auc"]
    assert metrics == alone.metrics["test"]
    rocket(small, tmp_path / "guided", hint_weight="0.5", **settings)
    assert (tmp_path / "guided" / MODEL).read_bytes() != expected


@pytest.mark.slow
@pytest.mark.parametrize("share", ["none", "embedding", "bottom"])
def test_a_resumed_rocket_gives_the_same_bits(share: str, small: Dataset, tmp_path: Path) -> None:
    train("sum-pool", small, tmp_path / "teacher", hidden="8")
    settings = {"share": share, "hint_warmup": "5", "teacher": str(tmp_path / "teacher" / MODEL)}
    expected = rocket(small, tmp_path / "whole", **settings)
    repeated = rocket(small, tmp_path / "again", **settings)
    parts = tmp_path / "parts"
    settings["checkpoint_minutes"] = "0"
    with pytest.raises(KeyboardInterrupt):
        rocket(small, parts, callbacks=Interrupt(after=1.4 / 2), **settings)
    resumed = rocket(small, parts, resume=True, **settings)
    for other in (repeated, resumed):
        assert other.metrics["test"] == expected.metrics["test"]
        curves = [[replace(e, seconds=0.0) for e in each.curve] for each in (other, expected)]
        assert curves[0] == curves[1]
    for folder in ("again", "parts"):
        for name in (MODEL, "predictions.parquet"):
            bits = (tmp_path / "whole" / name).read_bytes()
            assert (tmp_path / folder / name).read_bytes() == bits


@pytest.mark.parametrize(
    ("settings", "light"),
    [
        ({}, Din),
        ({"light": "sum-pool", "share": "none", "light.width": "2"}, SumPool),
        ({"booster": "gru-attention", "booster.layers": "1", "light.layers": "1"}, GruAttention),
    ],
)
def test_the_command_line_saves_a_plain_light_net(
    settings: dict[str, str], light: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_ring(tmp_path / "shop", users=40)
    settings = {"light.width": "4", "booster.width": "4", "light.hidden": "6", **settings}
    pairs = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    out = tmp_path / "out"
    command = ["train", "rocket", "--data", data, *pairs, "--quick", "--out", str(out)]
    assert run(command) == 0
    metrics = read_json(out / "metrics.json", kind="metrics")
    assert metrics["model"] == "rocket"
    assert 0 <= metrics["test"].pop("booster_auc") <= 1
    rows = read_json(out / "curves.json", kind="curves")["rows"]
    assert all("booster_auc" in row for row in rows)
    job, model = load_trained(out)
    assert type(model) is light
    assert model.config == job.parts["light"]
    asked = job_of("rocket", data, settings, seed=0, quick=True)
    assert job == replace(asked, repeats="drop")
    assert not any("booster" in name for name in load_tensors(out / MODEL, kind="recommender")[0])
    capsys.readouterr()
    assert run(["evaluate", str(out)]) == 0
    output = capsys.readouterr().out
    assert all(f"{value:.4f}" in output for value in metrics["test"].values())
    assert run(["recommend", str(out), "--user", "3", "-k", "4"]) == 0
    assert run([*command, "--resume"]) == 0
    assert run([*command, "--resume", "--set", "light.dropout=0.1"]) == 1
    assert "with light.dropout 0.3, not 0.1" in capsys.readouterr().err


def test_a_teacher_without_a_booster(small: Dataset, tmp_path: Path) -> None:
    train("din", small, tmp_path / "teacher", hidden="16")
    teacher = str(tmp_path / "teacher" / MODEL)
    settings = {"booster": "none", "light": "sum-pool", "light.hidden": "8"}
    result = train("rocket", small, tmp_path / "kd", teacher=teacher, **settings)
    assert type(result.model) is SumPool
    assert "booster_auc" not in result.metrics["test"]
    alone = train("sum-pool", small, tmp_path / "alone", hidden="8")
    assert result.metrics["test"] != alone.metrics["test"]
    before = (tmp_path / "kd" / MODEL).read_bytes()
    with pytest.raises(ValueError, match="no validation metric 'booster_auc'; available: auc, "):
        train("rocket", small, tmp_path / "kd", teacher=teacher, select="booster_auc", **settings)
    assert (tmp_path / "kd" / MODEL).read_bytes() == before
    with pytest.raises(ValueError, match="no net None"):
        job_of("rocket", "", {"booster": "none"}, seed=0, quick=True)


def test_a_teacher_of_other_vocabularies_is_refused(small: Dataset, tmp_path: Path) -> None:
    other = load(write_ring(tmp_path / "shop", users=40))
    train("sum-pool", other, tmp_path / "teacher", hidden="8")
    with pytest.raises(ValueError, match="trained with vocabularies that differ"):
        rocket(small, tmp_path / "out", teacher=str(tmp_path / "teacher" / MODEL))


@pytest.mark.parametrize("tables", ["sparse-adam", "rowwise-adagrad"])
def test_training_with_sparse_tables_and_bf16(tables: str, small: Dataset, tmp_path: Path) -> None:
    dense = rocket(small, tmp_path / "dense", tables="adam")
    sparse = rocket(small, tmp_path / "sparse", tables=tables, precision="bf16")
    losses = [each.metrics["validation"]["logloss"] for each in (sparse, dense)]
    assert losses[0] != losses[1]
    for table in sparse.model.embedding.tables.values():
        assert (table.weight[0] == 0).all(), "the padding row must stay zero"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # From torch's compiler.
def test_compiling_does_not_change_the_loss(small: Dataset, tmp_path: Path) -> None:
    torch._dynamo.reset()
    # Without dropout, since a compiled model draws other random numbers.
    settings = {"booster": "sum-pool", "light.dropout": "0", "booster.dropout": "0"}
    eager = rocket(small, tmp_path / "eager", **settings)
    compiled = rocket(small, tmp_path / "compiled", compile="true", **settings)
    losses = [[epoch.train_loss for epoch in each.curve] for each in (compiled, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
