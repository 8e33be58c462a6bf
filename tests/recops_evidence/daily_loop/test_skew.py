"""Skew of kept states, from the command line on a simulated shop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recops.files import read_json
from recops_evidence.daily_loop import shop, skew
from recops_evidence.daily_loop.skew_runs import ARMS, SkewPlan

SMALL = ("epochs=1", "width=4", "hidden=8", "max_len=10", "batch=256")


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


@pytest.mark.slow
def test_kept_states_are_nearer_to_a_replay_than_the_old_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, out = tmp_path / "shop.csv", tmp_path / "out"
    shop.main(["--out", str(log), "--users", "30", "--seed", "1"])
    command = ["--data", str(log), "--model", "mimn", "--seeds", "2", "--out", str(out)]
    chosen = [text for setting in SMALL for text in ("--set", setting)]
    assert skew.main([*command, "--after", "0", "3", *chosen]) == 0
    printed = capsys.readouterr().out
    assert "| 3 | kept − replayed |" in printed
    content = read_json(out / "skew.json", kind="daily-loop-skew")
    rows = {(row["seed"], row["after"], row["arm"]): row for row in content["rows"]}
    assert rows.keys() == {(s, n, arm) for s in (0, 1) for n in (0, 3) for arm in ARMS}
    for seed, after in ((0, 0), (0, 3), (1, 0), (1, 3)):
        gap = {arm: rows[seed, after, arm]["score_gap"] for arm in ARMS}
        assert gap["replayed"] == 0 < gap["kept"] < gap["old model"]
        assert rows[seed, after, "replayed"]["top_shared"] == 1
        assert rows[seed, after, "kept"]["users"] > 100


def test_bad_plans_are_refused() -> None:
    with pytest.raises(ValueError, match="skew: slices must be 3 or more, got 2"):
        SkewPlan("mimn", slices=2)
    with pytest.raises(ValueError, match=r"skew: after must be increasing and not negative, got"):
        SkewPlan("mimn", after=(5, 0))
