"""Training of UniRec: next items first, then rewards and preferences."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import torch

from callback_doubles import Interrupt
from jobs import job_of
from recops.files import read_json
from recops_models.cli import run
from recops_models.data import load
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.report import ImportReport
from recops_models.data.storage import read_table
from recops_models.generative.unirec import UniRec
from recops_models.recipes.run import load_trained, run_job
from recops_models.training.path_task import PathTask
from recops_models.training.trainer import CHECKPOINT

SIZES = {"width": "8", "heads": "2", "history": "6", "expert_hidden": "8", "head_hidden": "8"}
SMALL = {**SIZES, "codes": "4", "levels": "2", "batch": "16", "epochs": "2"}
TIMELESS = ("model.safetensors", "predictions.parquet")


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


def shop() -> Dataset:
    """Return a shop whose users walk along a ring of 30 items and rate each one."""
    rows = [(u, (u + step) % 30, step) for u in range(40) for step in range(8 + u % 5)]
    user, item, time = np.array(sorted(rows, key=lambda row: row[2])).T
    stars = (1 + (user + item) % 5).astype(np.float32)
    events = {"user_id": user, "item_id": item, "timestamp": time, "rating": stars}
    events["scene"] = pa.array(["feed" if i % 2 else "search" for i in item.tolist()])
    items = {"item_id": np.arange(30), "title": [f"Film {i}" for i in range(30)]}
    return Dataset(
        "shop",
        pa.table(events),
        pa.table(items),
        pa.table({"user_id": np.arange(40)}),
        ImportReport("synthetic"),
        time="order",
    )


def task_of(data: Dataset, **settings: str) -> PathTask:
    job = job_of("unirec", "synthetic", {**SMALL, **settings}, seed=0, quick=False)
    task = job.recipe.stages()[-1].task(data, job.parts, None)
    assert isinstance(task, PathTask)
    return task


def test_a_sample_of_users_selects_the_epoch_and_all_are_evaluated() -> None:
    task = task_of(shop(), validation_users="10", task="scene")
    sample = task.epoch_events
    assert len(sample.task) == len(sample.level) == len(sample.examples.users) == 10
    held_out = task.held_out("validation")
    assert len(held_out.task) == 40
    assert torch.equal(sample.task, held_out.task[sample.examples.users])
    assert len(task_of(shop()).epoch_validation.users) == 40


def test_event_weights_have_mean_one() -> None:
    task = task_of(shop(), level_weights="0,1,4", task="scene")
    weights, levels = task.events.weight, task.events.level
    assert set((weights / weights.max()).tolist()) == {0, 0.25, 1}
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0))
    assert torch.equal(weights == 0, levels == 0)
    odd = torch.from_numpy(task.train.items) % 2 == 1
    assert torch.equal(task.events.task == task.scenes.index("feed"), odd)


@pytest.mark.slow
@pytest.mark.parametrize("align", ["rft", "dpo", "both"])
def test_the_command_line_trains_both_stages(
    align: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = shop(), tmp_path / "out"
    (tmp_path / "shop").mkdir()
    pa.parquet.write_table(data.interactions, tmp_path / "shop/interactions.parquet")
    settings = {**SMALL, "align": align, "align_epochs": "1", "task": "scene", "precision": "bf16"}
    pairs = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = ["train", "unirec", "--data", str(tmp_path / "shop"), *pairs, "--out", str(out)]
    assert run(command) == 0
    metrics = read_json(out / "metrics.json", kind="metrics")
    assert {"hr@10", "hr@10_engaged"} <= set(metrics["test"])
    assert read_table(out / "predictions.parquet").column_names == ["user", "rank", "level"]
    assert len(read_json(out / "unirec/curves.json", kind="curves")["rows"]) == 2
    assert len(read_json(out / "curves.json", kind="curves")["rows"]) == 1
    _, model = load_trained(out)
    assert isinstance(model, UniRec)
    assert model.config.tasks == 2
    capsys.readouterr()
    assert run(["evaluate", str(out)]) == 0
    assert f"{metrics['test']['hr@10_engaged']:.4f}" in capsys.readouterr().out
    assert run(["recommend", str(out), "--user", "3"]) == 0
    assert run([*command, "--resume"]) == 0


PROGRAM = """
import signal, sys
from pathlib import Path
import torch
from recops_models.data import load
from recops_models.recipes.job import Job
from recops_models.recipes.run import run_job
from recops_models.recipes.setting_text import parse_settings
from recops_models.callbacks import Callbacks

class Kill(Callbacks):
    def start(self, stage):
        self.stage = stage

    def advance(self, share, note="", **metrics):
        if self.stage == at and share > float(after):
            signal.raise_signal(signal.SIGKILL)

data, out, *settings, at, after = sys.argv[1:]
torch.set_num_threads(1)
texts = dict(s.split("=") for s in settings)
job = Job.of("unirec", data, parse_settings("unirec", texts), seed=3, quick=False)
run_job(job, load(data), Path(out), callbacks=Kill())
"""


@pytest.mark.parametrize(
    ("stage", "epoch"), [pytest.param("unirec", 1, marks=pytest.mark.slow), ("alignment", 0)]
)
def test_a_run_killed_in_either_stage_resumes_to_the_same_bits(
    stage: str, epoch: int, tmp_path: Path
) -> None:
    (tmp_path / "shop").mkdir()
    pa.parquet.write_table(shop().interactions, tmp_path / "shop/interactions.parquet")
    settings = {**SMALL, "align": "both", "level_weights": "1,1,2"}
    job = job_of("unirec", str(tmp_path / "shop"), settings, seed=3, quick=False)
    data = load(tmp_path / "shop")
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    expected = run_job(job, data, tmp_path / "whole")
    arguments = [str(tmp_path / "shop"), str(tmp_path / "parts"), "checkpoint_minutes=0"]
    arguments += [f"{key}={value}" for key, value in settings.items()]
    command = [sys.executable, "-c", PROGRAM, *arguments, stage, str((epoch + 0.4) / 2)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "parts" / CHECKPOINT).exists() == (stage == "alignment")
    resumed = run_job(job, data, tmp_path / "parts", resume=True)
    timeless = [[replace(e, seconds=0.0) for e in each.curve] for each in (resumed, expected)]
    assert timeless[0] == timeless[1]
    for name in TIMELESS:
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_fresh_start_removes_the_files_of_all_stages(tmp_path: Path) -> None:
    settings = {**SMALL, "align": "rft"}
    job = job_of("unirec", "synthetic", settings, seed=0, quick=True)
    run_job(job, shop(), tmp_path)
    other = job_of("unirec", "synthetic", settings, seed=1, quick=True)
    with pytest.raises(KeyboardInterrupt):
        run_job(other, shop(), tmp_path, callbacks=Interrupt("semantic IDs"))
    remaining = {
        path.name for folder in (tmp_path, tmp_path / "unirec") for path in folder.iterdir()
    }
    assert not remaining & {
        CHECKPOINT,
        "model.safetensors",
        "tokenizer.safetensors",
        "sids.parquet",
    }
    run_job(other, shop(), tmp_path, resume=True)
    (tmp_path / "whole").mkdir()
    run_job(other, shop(), tmp_path / "whole")
    for name in TIMELESS:
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"align": "both", "reward_strength": "0.6"}, ValueError, "must be at most 1"),
        ({"align": "dpo", "engagement": "none"}, DataError, "shop: align=dpo needs events of"),
        ({"align": "rft", "engagement": "none"}, DataError, "of more than one reward"),
        ({"validation_users": "0"}, ValueError, "validation_users must be ≥ 1, got 0"),
        ({"task": "place"}, DataError, r"task must be a column of the interactions, got 'place'"),
    ],
)
def test_invalid_settings_are_refused_before_training(
    settings: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        task_of(shop(), **settings)


def write_events(folder: Path) -> Path:
    """Write the shop as a CSV folder whose events have custom columns."""
    folder.mkdir()
    events = shop().interactions
    kinds = ["buy" if item % 3 == 0 else "click" for item in events["item_id"].to_pylist()]
    table = {
        "user_id": events["user_id"],
        "item_id": events["item_id"],
        "timestamp": events["timestamp"],
        "scene": events["scene"],
        "event_type": kinds,
        "bought": [int(kind == "buy") for kind in kinds],
        "price": [10.0 * (kind == "buy") for kind in kinds],
        "note": [f"event {row}" for row in range(len(kinds))],
    }
    pyarrow.csv.write_csv(pa.table(table), folder / "interactions.csv")
    return folder


def set_options(**settings: str) -> list[str]:
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


def test_objectives_are_the_values_of_a_named_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = write_events(tmp_path / "shop"), tmp_path / "out"
    chosen = set_options(**{**SMALL, "epochs": "1", "objective": "event_type", "task": "scene"})
    command = ["train", "unirec", "--data", str(folder), *chosen, "--out", str(out)]
    assert run(command) == 0
    model = load_trained(out)[1]
    assert isinstance(model, UniRec)
    assert (model.config.objectives, model.config.scenes) == (2, 2)
    capsys.readouterr()
    assert run(["evaluate", str(out)]) == 0
    lists = []
    for task in ("buy/feed", "click/search"):
        assert run(["recommend", str(out), "--user", "3", "--task", task]) == 0
        lists.append(capsys.readouterr().out)
    assert lists[0] != lists[1]
    assert run(["recommend", str(out), "--user", "3", "--task", "buy"]) == 1
    assert "no task 'buy'; available: buy/feed, buy/search, click/" in capsys.readouterr().err


def test_events_are_trained_with_their_objective() -> None:
    data = shop()
    kinds = pa.array(
        ["buy" if item % 3 == 0 else "click" for item in data.interactions["item_id"].to_pylist()]
    )
    data = replace(data, interactions=data.interactions.append_column("event_type", kinds))
    task = task_of(data, objective="event_type")
    bought = torch.from_numpy(task.train.items) % 3 == 0
    assert torch.equal(task.events.task == task.scenes.index("buy"), bought)
    assert set(task.held_out("test").task.tolist()) == {0, 1}


def test_levels_and_values_come_from_named_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, imported, out = write_events(tmp_path / "raw"), tmp_path / "shop", tmp_path / "out"
    assert run(["data", "import", "csv", str(folder), "--out", str(imported)]) == 0
    assert "not used: note" in capsys.readouterr().out
    chosen = {"engagement": "bought", "level_edges": "1", "level_weights": "1,3", "value": "price"}
    task = task_of(load(imported), **chosen)
    bought = torch.from_numpy(task.train.items) % 3 == 0
    assert torch.equal(task.events.level == 1, bought)
    scale = float(1 + np.log1p(10.0))
    ratio = task.events.weight[bought][0] / task.events.weight[~bought][0]
    assert float(ratio) == pytest.approx(3 * scale)
    assert float(task.events.reward[bought][0]) == pytest.approx(scale)
    command = ["train", "unirec", "--data", str(imported), *set_options(**{**SMALL, **chosen})]
    assert run([*command, "--out", str(out)]) == 0
    assert "hr@10_engaged" in read_json(out / "metrics.json", kind="metrics")["test"]
    assert run([*command, "--set", "value=cost", "--force", "--out", str(out)]) == 1
    assert "value must be a column of the interactions, got 'cost'" in capsys.readouterr().err
