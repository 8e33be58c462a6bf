"""Upper bounds on the CPU time of imports and short commands, relative to ``import recops``.

Most of ``import recops`` is ``import torch``. Each measurement runs in a new process. The
processes are interleaved, and the minima are compared, because other work on the machine only adds
time.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recops_models.cli import run

ROUNDS, SERIES = 3, 5
"""Runs of each side per series, and series before a time above the bound fails."""

BASE = "import recops"
COMMAND = "from recops_models.cli import main; main({})"


def cpu_seconds(program: str) -> float:
    """Return the CPU time of a Python program in a new process."""
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def check_ratio(program: str, bound: float) -> None:
    """Assert that the program takes at most ``bound`` times as long as ``import recops``."""
    base = seconds = math.inf
    for _ in range(SERIES):
        for _ in range(ROUNDS):
            base, seconds = min(base, cpu_seconds(BASE)), min(seconds, cpu_seconds(program))
        if seconds <= bound * base:
            break
    print(f"{seconds:.2f} s, {seconds / base:.2f} of the {base:.2f} s of import recops")
    assert seconds <= bound * base


def test_import_of_the_models() -> None:
    check_ratio("import recops, recops_models", 1.2)


def test_help() -> None:
    check_ratio(COMMAND.format(["--help"]), 0.3)


@pytest.fixture
def popularity(tmp_path: Path) -> Path:
    """Train the popularity model on MovieLens 100K."""
    out = tmp_path / "popularity"
    assert run(["train", "popularity", "--data", "ml-100k", "--out", str(out)]) == 0
    return out


def test_recommend(popularity: Path) -> None:
    command = ["recommend", str(popularity), "--user", "196"]
    check_ratio(COMMAND.format(command), 1.25)  # Typer 0.29 imports pydantic.
