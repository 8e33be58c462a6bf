"""``recops train`` by several workers: equal results, killed workers, interrupts, torchrun."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from behaviour_log import write_behaviour_log
from recops.files import read_json
from recops_models.recipes.files import MODEL
from recops_models.training.trainer import CHECKPOINT
from small_shop import write_shop
from stored_fixtures.fixture import STORED
from stored_fixtures.trainings import SETTINGS
from worker_group import Kill, Outcome, WorkerGroup

RUN = "recops_models.cli:run"
ROCKET = {
    "booster": "sum-pool",
    "epochs": "3",
    "batch": "16",
    "checkpoint_minutes": "0",
    "light.hidden": "8",
    "booster.hidden": "16",
}
"""Dropout, a random stream of the booster, and a checkpoint after every step."""
WITHOUT_DRAWS: Mapping[str, Mapping[str, str]] = {
    "rocket": {"booster.dropout": "0", "light.dropout": "0"},
    "age": {"base.dropout": "0"},
    "res-embedding": {"base.dropout": "0"},
    "keep": {"base.dropout": "0", "extractor.dropout": "0"},
    "dien": {"dropout": "0", "auxiliary": "none"},
    "unirec": {"dropout": "0", "align": "both", "engagement": "rating", "item_scores": "0"},
    "tiger": {"dropout": "0", "collaborative": "true", "sasrec.dropout": "0"},
    "rates": {},
    "popularity": {},
    "item-knn": {},
    "ease": {},
}
"""Settings without random draws in training, which differ between workers; else ``dropout=0``."""


@pytest.fixture(scope="module")
def group() -> Iterator[WorkerGroup]:
    with WorkerGroup("recops_models.recipes.run", "recops_models.cli.train") as group:
        yield group


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_shop(tmp_path / "shop")


def command(model: str, data: Path, settings: Mapping[str, str], out: Path) -> list[str]:
    pairs = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    return ["train", model, "--data", str(data), *pairs, "--out", str(out)]


def assert_done(outcome: Outcome) -> None:
    assert {*outcome.codes, *outcome.results} == {0}, outcome.output


def figures(folder: Path) -> dict[str, Any]:
    """Return the metrics and the curve of a training, without times."""
    metrics = read_json(folder / "metrics.json", kind="metrics")
    curve = read_json(folder / "curves.json", kind="curves")["rows"]
    rows = {f"{row['epoch']} {name}": value for row in curve for name, value in row.items()}
    figures = {
        f"{part} {name}": v for part in ("validation", "test") for name, v in metrics[part].items()
    }
    return {name: v for name, v in {**rows, **figures}.items() if "seconds" not in name}


@pytest.mark.slow
def test_a_killed_worker_changes_no_result(group: WorkerGroup, shop: Path, tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert_done(group.run(2, RUN, command("rocket", shop, ROCKET, undisturbed)))
    kill = Kill(1, path=str(killed / CHECKPOINT), seconds=0.1)
    outcome = group.run(2, RUN, command("rocket", shop, ROCKET, killed), kills=(kill,))
    assert outcome.codes[1] == -signal.SIGKILL
    assert outcome.results[0] == 1
    assert "another worker has ended" in outcome.output
    assert not (killed / MODEL).exists()
    resumable = shutil.copytree(killed, tmp_path / "three")
    assert_done(group.run(2, RUN, [*command("rocket", shop, ROCKET, killed), "--resume"]))
    assert (killed / MODEL).read_bytes() == (undisturbed / MODEL).read_bytes()
    assert figures(killed) == figures(undisturbed)
    assert_done(group.run(3, RUN, [*command("rocket", shop, ROCKET, resumable), "--resume"]))
    assert figures(resumable) == pytest.approx(figures(undisturbed), abs=0.1)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
def test_a_model_of_two_stages(group: WorkerGroup, tmp_path: Path) -> None:
    assert_equal_models("unirec", (1, 2), group, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("model", ["keep", "tiger", "res-embedding"])
def test_models_of_several_stages(model: str, group: WorkerGroup, tmp_path: Path) -> None:
    assert_equal_models(model, (1, 2), group, tmp_path)


@pytest.mark.slow
def test_rows_whose_decay_is_pending_are_equal_on_all_workers(
    group: WorkerGroup, tmp_path: Path
) -> None:
    sparse = {"tables": "rowwise-adagrad", "batch": "5"}  # A batch reads few rows.
    assert_equal_models("res-embedding", (1, 2), group, tmp_path, sparse)


@pytest.mark.parametrize(
    "heads",
    [
        pytest.param("shared-bottom", marks=pytest.mark.full),
        pytest.param("mmoe", marks=pytest.mark.slow),
    ],
)
def test_two_workers_predict_the_labels_of_one(
    heads: str, group: WorkerGroup, tmp_path: Path
) -> None:
    log = write_behaviour_log(tmp_path / "log", users=40, events=8)
    settings = {"heads": heads, "dropout": "0", "batch": "37", "epochs": "2", "width": "4"}
    settings |= {"hidden": "8", "max_len": "6"}
    for size in (1, 2):
        assert_done(group.run(size, RUN, command("din", log, settings, tmp_path / str(size))))
    first, second = (figures(tmp_path / str(size)) for size in (1, 2))
    assert "test auc_purchase" in first
    assert first == pytest.approx(second, rel=1e-4, abs=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("model", SETTINGS)
def test_every_model_with_four_workers(model: str, group: WorkerGroup, tmp_path: Path) -> None:
    assert_equal_models(model, (1, 4), group, tmp_path)


def assert_equal_models(
    model: str,
    sizes: tuple[int, int],
    group: WorkerGroup,
    folder: Path,
    others: Mapping[str, str] | None = None,
) -> None:
    """Train a model by different numbers of workers, and compare its figures."""
    settings = {**SETTINGS[model], **WITHOUT_DRAWS.get(model, {"dropout": "0"})}
    if "batch" in settings:
        settings["batch"] = "37"  # It is divided by no number of workers.
    settings |= others or {}
    for size in sizes:
        out = folder / str(size)
        assert_done(group.run(size, RUN, command(model, STORED / "shop" / "1", settings, out)))
    first, second = (figures(folder / str(size)) for size in sizes)
    assert first == pytest.approx(second, rel=1e-4, abs=1e-5)


@pytest.mark.slow
def test_the_launcher_trains_and_stops_at_an_interrupt(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = command("sum-pool", shop, {"epochs": "200", "patience": "200"}, out)
    program = [sys.executable, "-m", "recops_models.cli", *arguments, "--workers", "2"]
    process = subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
    )
    deadline = time.monotonic() + 120
    while not (out / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.count("recops: ") == 1, output
    assert "has the last checkpoint: continue with --resume" in output
    assert (out / MODEL).exists()  # That of the best epoch.
    resumed = [*program, "--resume", "--set", "epochs=1"]
    result = subprocess.run(resumed, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("test: auc") == 1
