"""Repetition of tests that assert on a time, and the CPU seconds of every test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_rerunfailures")

SUPPORT = Path(__file__).resolve().parent / "support"
TESTS = """
import itertools, subprocess, sys, time
import pytest

runs = itertools.count()

@pytest.mark.timing
def test_passes_the_second_time():
    assert next(runs) > 0

@pytest.mark.timing
def test_fails_twice():
    assert False

def test_without_a_time_fails_at_once():
    assert False

def test_whose_process_computes():
    code = "import time\\nwhile time.process_time() < .5: pass"
    subprocess.run([sys.executable, "-c", code])
"""


def test_only_marked_tests_are_repeated_once(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = timing\n")
    (tmp_path / "test_some.py").write_text(TESTS)
    plugins = ["-p", "cpu_seconds", "-p", "repeated", "-p", "no:cacheprovider"]
    options = ["-q", "-rRfp", *plugins, "--cpu-seconds", str(tmp_path / "seconds")]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(SUPPORT)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = result.stdout.splitlines()[-1]
    assert last.startswith("2 failed, 2 passed, 2 rerun"), result.stdout
    names = [line for line in result.stdout.splitlines() if line.startswith("RERUN ")]
    assert [name.rpartition("::")[2] for name in names] == [
        "test_passes_the_second_time",
        "test_fails_twice",
    ]
    rows = [json.loads(line) for line in (tmp_path / "seconds").read_text().splitlines()]
    assert len(rows) == 4
    assert rows[0]["test"].endswith("::test_whose_process_computes")
    assert rows[0]["seconds"] >= 0.3
