"""Plain ``pytest`` runs one process per core; a run that names its tests has one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).with_name("support")
CORES = len(os.sched_getaffinity(0))
INHERITED = ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "OMP_NUM_THREADS")
SETTINGS = """
[tool.pytest.ini_options]
testpaths = ["tests"]
"""
# Each process writes its number of threads to a file with the name of the process.
TEST = """
import os, pathlib, pytest

@pytest.mark.parametrize("number", range(20))
def test_process(number):
    name = os.environ.get("PYTEST_XDIST_WORKER", "main")
    pathlib.Path("processes", name).write_text(os.environ.get("OMP_NUM_THREADS", "default"))
"""


@pytest.mark.slow
@pytest.mark.skipif(CORES < 2, reason="one core has one process")
@pytest.mark.parametrize(
    ("arguments", "processes"),
    [
        ([], {f"gw{core}": "1" for core in range(CORES)}),
        (["-n", "2", "tests"], {name: str(CORES // 2) for name in ("gw0", "gw1")}),
        (["-n", "0"], {"main": "default"}),
        (["tests"], {"main": "default"}),
        (["-k", "process"], {"main": "default"}),
        (["-s"], {"main": "default"}),
    ],
    ids=" ".join,
)
def test_processes_and_their_threads(
    arguments: list[str], processes: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("xdist")
    for folder in ("tests", "processes"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "tests/conftest.py").write_text("from workers import pytest_cmdline_main")
    (tmp_path / "tests/test_process.py").write_text(TEST)
    environment = {name: value for name, value in os.environ.items() if name not in INHERITED}
    completed = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", *arguments],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(SUPPORT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    written = {path.name: path.read_text() for path in (tmp_path / "processes").iterdir()}
    if CORES <= 20:  # With more cores, some workers get no test.
        assert written == processes
    assert written.items() <= processes.items()
