"""``tools/gpu_report.sh``: it needs a GPU, and its page reports every step."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
STEPS = [
    "Op tests on the GPU",
    "Memory errors",
    "Races in shared memory",
    "Synchronisation",
    "Tuning of the launch table",
    "Training steps in CUDA graphs",
    "Benchmarks",
]


def run_report(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", ROOT / "tools" / "gpu_report.sh", folder],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def write_program(path: Path, body: str) -> Path:
    path.write_text(f"#!/usr/bin/env bash\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_stops_with_one_line(tmp_path: Path) -> None:
    result = run_report(tmp_path / "out")
    assert result.returncode == 2
    assert result.stderr == "gpu_report.sh: torch finds no CUDA GPU\n"


@pytest.mark.parametrize("fails", [False, True])
def test_the_page_reports_every_step(fails: bool, tmp_path: Path) -> None:
    """The Python of this run only prints its arguments; the benchmark may fail."""
    python = write_program(
        tmp_path / "python",
        f'case "$*" in *"bench --device cuda"*) echo measured; exit {int(fails)};; esac\n'
        'echo "ran $1 | $2"',
    )
    write_program(tmp_path / "compute-sanitizer", 'echo "0 errors by $2"')
    out = tmp_path / "out"
    path = f"{tmp_path}:{os.environ['PATH']}"
    result = run_report(out, PYTHON=str(python), PATH=path)
    assert result.returncode == int(fails), result.stdout + result.stderr
    page = (out / "gpu.md").read_text()
    for step in STEPS:
        outcome = "FAILED" if fails and step == "Benchmarks" else "passed"
        assert f"| {step} | {outcome} |" in page
    assert "0 errors by racecheck" in page
    assert "| ran -m / pytest |" in page  # a bar would end the table's cell
    assert (out / "bench.log").read_text() == "measured\n"


def test_a_missing_sanitizer_fails_its_steps_only(tmp_path: Path) -> None:
    python = write_program(tmp_path / "python", "echo fine")
    tools = ["bash", "cat", "dirname", "env", "grep", "mkdir", "tail", "tr"]
    for tool in tools:
        (tmp_path / tool).symlink_to(Path("/usr/bin") / tool)
    result = run_report(tmp_path / "out", PYTHON=str(python), PATH=str(tmp_path))
    assert result.returncode == 1
    page = (tmp_path / "out" / "gpu.md").read_text()
    assert "| Memory errors | FAILED |" in page
    assert "compute-sanitizer is not on PATH" in page
    assert "| Op tests on the GPU | passed |" in page
