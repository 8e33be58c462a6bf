"""The daily loop: slices, new ids in every slice, and updates from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import recops_models as rm
from recops.files import read_json
from recops_evidence.daily_loop import shop
from recops_evidence.daily_loop.__main__ import main
from recops_evidence.daily_loop.slices import data_until, only_known_items, slice_of_events

RANKER = ("width=8", "heads=2", "history=6", "epochs=2")
CLICK = ("width=4", "hidden=8", "max_len=6", "epochs=1", "batch=64")


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


def write_log(path: Path) -> Path:
    """Write the events of 5 days; each day has new users and new items."""
    lines = ["user_id,item_id,timestamp"]
    for day in range(5):
        for user in range(4 * day, 4 * day + 14):
            for step in range(4):
                item = (user + 3 * step) % 12 + 2 * day
                lines.append(f"u{user},i{item},{86_400 * day + 60 * step + user}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_slices_by_time_and_by_order(tmp_path: Path) -> None:
    data = rm.load_data(write_log(tmp_path / "log.csv"))
    by_time = slice_of_events(data, 5, "time")
    times = data.interactions["timestamp"].to_numpy()
    assert (np.diff(by_time) >= 0).all()
    assert all(times[by_time == day].max() < times[by_time > day].min() for day in range(4))
    by_order = slice_of_events(data, 4, "order")
    users = data.interactions["user_id"].to_numpy()
    for user in np.unique(users):
        mine = by_order[users == user]
        assert (np.diff(mine) >= 0).all()
        assert set(mine) == set(range(4))
    with pytest.raises(ValueError, match="slices must be 2 or more, got 1"):
        slice_of_events(data, 1, "time")


def test_data_grows_by_the_ids_of_each_slice(tmp_path: Path) -> None:
    data = rm.load_data(write_log(tmp_path / "log.csv"))
    slices = slice_of_events(data, 5, "time")
    sizes = [data_until(data, slices, day).items.num_rows for day in range(5)]
    assert sizes == sorted(set(sizes))
    users = [data_until(data, slices, day).users.num_rows for day in range(5)]
    assert users == sorted(set(users))
    until = data_until(data, slices, 2)
    known, known_slices = only_known_items(until, slices[slices <= 2], 2)
    before = data_until(data, slices, 1)
    assert known.items.num_rows == before.items.num_rows
    assert len(known_slices) == known.interactions.num_rows < until.interactions.num_rows


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("popularity", ()),
        pytest.param("sasrec", RANKER, marks=pytest.mark.slow),
        pytest.param("din", CLICK, marks=pytest.mark.slow),
    ],
)
def test_the_loop_runs_from_the_command_line_on_a_file(
    model: str, settings: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, out = write_log(tmp_path / "log.csv"), tmp_path / "out"
    chosen = [text for setting in settings for text in ("--set", setting)]
    update = ["--update", "epochs=1"] if settings else []
    command = ["--data", str(log), "--model", model, "--seeds", "2", "--out", str(out)]
    assert main([*command, *chosen, *update]) == 0
    printed = capsys.readouterr().out
    assert "| continued − full |" in printed
    content = read_json(out / "loop.json", kind="daily-loop")
    steps = content["steps"]
    assert {(s["arm"], s["slice"]) for s in steps} == {
        (arm, day) for arm in ("full", "continued", "stale") for day in range(2, 6)
    }
    assert all(step["new_items"] > 0 and step["new_users"] > 0 for step in steps)
    by_key = {(s["arm"], s["slice"], s["seed"]): s["metrics"] for s in steps}
    assert any(by_key["full", day, 0] != by_key["stale", day, 0] for day in range(3, 6))


def test_the_loop_runs_on_a_simulated_shop_with_new_ids_in_every_slice(tmp_path: Path) -> None:
    log, again, out = tmp_path / "shop.csv", tmp_path / "again.csv", tmp_path / "out"
    for path in (log, again):
        assert shop.main(["--out", str(path), "--users", "20", "--seed", "1"]) == 0
    assert log.read_bytes() == again.read_bytes()
    command = ["--data", str(log), "--model", "popularity", "--seeds", "1", "--out", str(out)]
    assert main(command) == 0
    steps = read_json(out / "loop.json", kind="daily-loop")["steps"]
    assert len(steps) == 12
    assert all(step["new_items"] > 0 and step["new_users"] > 0 for step in steps)
    last = {step["arm"]: step["metrics"]["ndcg@10"] for step in steps if step["slice"] == 5}
    assert last["full"] > last["stale"]  # Demand ages, so old counts lose.


def test_a_share_of_the_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, out = write_log(tmp_path / "log.csv"), tmp_path / "out"
    command = ["--data", str(log), "--model", "popularity", "--seeds", "1", "--out", str(out)]
    assert main([*command, "--share", "0.5"]) == 0
    assert read_json(out / "loop.json", kind="daily-loop")["users"] == 15  # Of 30.
    with pytest.raises(SystemExit):
        main([*command, "--share", "0"])
    assert "argument --share: must be above 0 and at most 1, got 0.0" in capsys.readouterr().err
