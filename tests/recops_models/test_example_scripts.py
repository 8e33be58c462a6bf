"""Scripts of examples/ run on a small data set."""

from __future__ import annotations

import re
import runpy
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


def printed(script: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a script in this process, and return what it prints."""
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    return capsys.readouterr().out


def test_semantic_ids_of_a_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("semantic_ids.py", capsys)
    assert re.search(r"^items with the first codes of sku-0: \['sku-0'", text, re.M)
    assert re.search(r"^codes of a new item: \[\d, \d, \d\]$", text, re.M)


def test_a_click_model_beats_its_baselines(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("click_model.py", capsys)
    own = re.search(r"^AUC: (0\.\d+)$", text, re.M)
    assert own is not None
    baselines = re.findall(r"^AUC of [a-z ]+: (0\.\d+)$", text, re.M)
    assert len(baselines) == 7
    assert float(own[1]) > 0.1 + max(map(float, baselines))


def test_a_ranker_follows_filters(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("ranker_with_filters.py", capsys)
    assert "next items: ['item-13'" in text
    line = re.search(r"^in stock, without item-14: (.*)$", text, re.M)
    assert line is not None
    items = [int(number) for number in re.findall(r"item-(\d+)", line[1])]
    assert len(items) == 3
    assert all(item % 2 == 0 and item != 14 for item in items)


def test_a_custom_model_writes_only_real_items(capsys: pytest.CaptureFixture[str]) -> None:
    assert "even items only: [" in printed("constrained_decoding.py", capsys)


def test_the_feedback_loop_learns_from_a_biased_log(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("feedback_loop.py", capsys)
    assert re.search(r"^clicks: (\S+) of \1 match an impression within 3,600 s", text, re.M)
    assert len(re.findall(r"estimated by SNIPS: 0\.\d+", text)) == 2
    pages = {
        name: float(value)
        for name, value in re.findall(
            r"^front page, (.*): items .*, true clicks (\S+)$", text, re.M
        )
    }
    assert pages["cross-entropy"] < 0.6 * pages["best possible"]
    assert pages["ips"] > 0.85 * pages["best possible"]
