"""SIGKILL at any time: partial output is refused or resumed, and never taken for complete."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from killable import Killable
from recops_models.data import load

SIZES = {
    "tokenize": ["--levels", "3", "--codes", "8"],
    "train": [*("--set", "width=8", "--set", "heads=2", "--set", "history=6"), "--set", "epochs=3"],
    "quickstart": ["--quick"],
}
OUTPUTS = {
    "tokenize": ["sids.parquet", "tokenizer.safetensors", "item_vectors.safetensors"],
    "train": ["model.safetensors", "predictions.parquet"],
    "quickstart": ["recommendations.json", "unirec/sids.parquet", "unirec/model.safetensors"],
}
"""Files with the same bits in every run, interrupted or not."""


@pytest.fixture(scope="module")
def killable() -> Iterator[Killable]:
    with Killable() as commands:
        yield commands


@pytest.fixture(scope="module")
def data(killable: Killable, atomic_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "small"
    assert (
        killable.run(["data", "import", "recbole", str(atomic_files), "--out", str(out)])["code"]
        == 0
    )
    return out


def kills(killable: Killable, arguments: list[str], out: Path, count: int) -> Iterator[None]:
    """Run the command once to its end, then kill it ``count`` times, each in an empty folder."""
    complete = killable.run([*arguments, "--out", str(out.with_name("whole"))])
    assert complete["code"] == 0, complete["output"]
    rng = random.Random(0)
    for _ in range(count):
        shutil.rmtree(out, ignore_errors=True)
        seconds = rng.uniform(0, 1.05 * complete["seconds"])
        killable.run([*arguments, "--out", str(out)], kill_after=seconds)
        yield


COUNTS = pytest.mark.parametrize(
    "count",
    [pytest.param(2, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.full)],
)


@COUNTS
def test_a_killed_import_is_refused_or_complete(
    count: int, killable: Killable, atomic_files: Path, tmp_path: Path
) -> None:
    arguments = ["data", "import", "recbole", str(atomic_files)]
    out = tmp_path / "out"
    for _ in kills(killable, arguments, out, count):
        try:
            dataset = load(out)
        except ValueError:
            assert killable.run([*arguments, "--out", str(out)])["code"] == 0
            dataset = load(out)
        complete = load(tmp_path / "whole")
        for table in ("interactions", "items", "users"):
            assert getattr(dataset, table).equals(getattr(complete, table))


@COUNTS
@pytest.mark.parametrize("command", ["tokenize", "train", "quickstart"])
def test_a_killed_run_is_resumed_to_the_same_bits(
    command: str, count: int, killable: Killable, data: Path, tmp_path: Path
) -> None:
    model = ["sasrec"] if command == "train" else []
    arguments = [command, *model, "--data", str(data), *SIZES[command]]
    out, complete = tmp_path / "out", tmp_path / "whole"
    for _ in kills(killable, arguments, out, count):
        for name in OUTPUTS[command]:
            if (out / name).exists():
                assert (out / name).read_bytes() == (complete / name).read_bytes()
        if (out / "metrics.json").exists():
            assert all((out / name).exists() for name in OUTPUTS[command])
        resumed = killable.run([*arguments, "--out", str(out), "--resume"])
        assert resumed["code"] == 0, resumed["output"]
        for name in OUTPUTS[command]:
            assert (out / name).read_bytes() == (complete / name).read_bytes()
        metrics = (json.loads((folder / "metrics.json").read_text()) for folder in (out, complete))
        first, second = map(_without_times, metrics)
        assert first == second


def _without_times(metrics: object) -> object:
    if isinstance(metrics, dict):
        return {
            key: _without_times(value)
            for key, value in metrics.items()
            if "seconds" not in key and key != "format"
        }
    return metrics
