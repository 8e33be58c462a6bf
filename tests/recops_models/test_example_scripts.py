"""Scripts of examples/ run on a small data set."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from recops_models.data import Dataset, save_dataset

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.slow
def test_the_user_interest_center_script(small: Dataset, tmp_path: Path) -> None:
    save_dataset(small, tmp_path / "data")
    script = EXAMPLES / "user_interest_center.py"
    options = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    completed = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=True
    )
    new_events = small.interactions.num_rows - small.interactions.num_rows * 9 // 10
    assert f"new events: {{'accepted': {new_events}," in completed.stdout
    assert f"the new events again: {{'accepted': 0, 'duplicates': {new_events}," in completed.stdout
    assert len(re.findall(r"^user \d+, after [1-9]\d* more events:$", completed.stdout, re.M)) == 3
    moves = re.findall(r"(rose|fell) from +(\d+) to +(\d+): \S", completed.stdout)
    assert len(moves) == 18
    assert any(int(old) > int(new) for direction, old, new in moves if direction == "rose")
