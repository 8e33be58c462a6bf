"""Interrupted trainings resume to the bits of uninterrupted ones; other checkpoints are refused."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from callback_doubles import Interrupt, LoggedSteps
from jobs import job_of
from recops.files import CorruptFileError, load_tensors
from recops_models.callbacks import Callbacks
from recops_models.data import load
from recops_models.generative.popularity import item_counts
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.recipes.run import run_job
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import Epoch
from recops_models.training.next_item_task import NextItemTask
from recops_models.training.trainer import CHECKPOINT, fit
from synthetic_histories import NUM_ITEMS, paths, ring, ring_dataset

TRAIN, _ = ring()
CONFIG = TrainingConfig(epochs=3, batch=32)


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


def build(name: str) -> SASRec | UniRec:
    torch.manual_seed(0)
    if name == "sasrec":
        return SASRec(NUM_ITEMS, SASRecConfig(history=8, width=16, dropout=0.3))
    tokens, sizes = paths()
    config = UniRecConfig(history=8, width=16, heads=2, expert_hidden=16, dropout=0.3, beams=10)
    return UniRec(tokens, sizes, item_counts(TRAIN, NUM_ITEMS), config)


def train(
    name: str,
    config: TrainingConfig,
    folder: Path,
    *,
    resume: bool = False,
    callbacks: Callbacks | None = None,
) -> tuple[list[Epoch], dict[str, torch.Tensor]]:
    model = build(name)
    folder.mkdir(exist_ok=True)
    task = NextItemTask(ring_dataset())
    torch.manual_seed(99)  # The result must not depend on the global random state.
    curve = fit(
        model,
        task,
        config,
        seed=3,
        folder=folder,
        resume=resume,
        callbacks=callbacks,
    )
    return curve, model.state_dict()


def assert_same(
    actual: tuple[list[Epoch], dict[str, torch.Tensor]],
    expected: tuple[list[Epoch], dict[str, torch.Tensor]],
) -> None:
    timeless = [[replace(epoch, seconds=0.0) for epoch in curve] for curve, _ in (actual, expected)]
    assert timeless[0] == timeless[1]
    for key, value in expected[1].items():
        assert torch.equal(value, actual[1][key]), key


@pytest.mark.parametrize(("name", "minutes"), [("sasrec", 0.0), ("sasrec", 60.0), ("unirec", 0.0)])
def test_an_interrupted_run_resumes_to_the_same_bits(
    name: str, minutes: float, tmp_path: Path
) -> None:
    config = replace(CONFIG, checkpoint_minutes=minutes)
    expected = train(name, replace(config, checkpoint_minutes=60), tmp_path / "whole")
    interrupt = Interrupt(after=1.4 / config.epochs)
    with pytest.raises(KeyboardInterrupt):
        train(name, config, tmp_path / "parts", callbacks=interrupt)
    _, meta = load_tensors(tmp_path / "parts" / CHECKPOINT, kind="training-state")
    assert (len(meta["curve"]), meta["step"] > 0) == (1, minutes == 0)
    epochs = LoggedSteps()
    resumed = train(name, config, tmp_path / "parts", resume=True, callbacks=epochs)
    assert epochs.steps == [1, 2, 3]
    assert_same(resumed, expected)


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
    def advance(self, share, note="", **metrics):
        if share > 1.4 / 2:
            signal.raise_signal(signal.SIGKILL)

data, out, model, *settings = sys.argv[1:]
torch.set_num_threads(1)
texts = dict(s.split("=") for s in settings)
job = Job.of(model, data, parse_settings(model, texts), seed=3, quick=False)
run_job(job, load(data), Path(out), callbacks=Kill())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("sasrec", {"width": "8", "history": "6"}),
        ("din", {"tables": "rowwise-adagrad", "table_learning_rate": "0.05", "hidden": "16"}),
    ],
)
def test_a_run_killed_within_an_epoch_resumes_to_the_same_bits(
    model: str, settings: dict[str, str], tmp_path: Path
) -> None:
    rows = ["user_id,item_id,timestamp"]
    rows += [f"{u},{(u + step) % 30 + 1},{step}" for u in range(40) for step in range(8 + u % 5)]
    (tmp_path / "interactions.csv").write_text("\n".join(rows))
    settings = {"epochs": "2", "batch": "32", "dropout": "0.3", **settings}
    job = job_of(model, str(tmp_path), settings, seed=3, quick=False)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    dataset = load(tmp_path)
    expected = run_job(job, dataset, tmp_path / "whole")

    parts = tmp_path / "parts"
    arguments = [str(tmp_path), str(parts), model, "checkpoint_minutes=0"]
    arguments += [f"{key}={value}" for key, value in settings.items()]
    completed = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=False)
    assert completed.returncode == -signal.SIGKILL
    _, meta = load_tensors(parts / CHECKPOINT, kind="training-state")
    assert len(meta["curve"]) == 1
    assert meta["step"] > 0

    resumed = run_job(job, dataset, parts, resume=True)
    for part in ("validation", "test"):
        assert resumed.metrics[part] == expected.metrics[part]
    timeless = [[replace(e, seconds=0.0) for e in run.curve] for run in (resumed, expected)]
    assert timeless[0] == timeless[1]
    for key, value in expected.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    for name in ("model.safetensors", "predictions.parquet"):
        assert (parts / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    train("sasrec", replace(CONFIG, epochs=1), tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint.safetensors: belongs to another model"):
        train("unirec", CONFIG, tmp_path, resume=True)


def test_a_checkpoint_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    train("sasrec", replace(CONFIG, epochs=1), tmp_path)
    with pytest.raises(ValueError, match="other optimizers"):
        train("sasrec", replace(CONFIG, tables="rowwise-adagrad"), tmp_path, resume=True)


@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_checkpoint_is_named(cut: bool, tmp_path: Path) -> None:
    train("sasrec", replace(CONFIG, epochs=1), tmp_path)
    path = tmp_path / CHECKPOINT
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content[: len(content) // 2] if cut else content)
    with pytest.raises(CorruptFileError, match=r"checkpoint.safetensors: damaged"):
        train("sasrec", CONFIG, tmp_path, resume=True)
