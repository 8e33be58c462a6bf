"""The load benchmark runs, and a busy machine sustains a small load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recops_models.data import Dataset

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_the_server_keeps_up_with_a_small_load(ml_100k: Dataset, tmp_path: Path) -> None:
    options = ["--lengths", "20,40", "--seconds", "5", "--events", "400", "--scores", "4"]
    path = [str(ROOT / "tests" / "support"), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "bench/uic_load.py", *options, "--out", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        check=True,
    )
    rows = json.loads((tmp_path / "load.json").read_text())
    assert [row["history"] for row in rows] == [20, 40]
    assert (tmp_path / "load.png").read_bytes().startswith(b"\x89PNG")
    for row in rows:
        assert row["events"] >= 1800  # The schedule has 2,000.
        assert row["scores"] >= 18
        assert row["score_ms"]["p50"] < 1000  # A few milliseconds on an idle machine.
        assert row["server_cores"] < 1
