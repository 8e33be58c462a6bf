"""Match of clicks with impressions, and data sets of labelled impressions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import recops_models as rm
from recops_models.cli import run
from recops_models.data import DataError, load
from recops_models.data.clicks import match_clicks
from recops_models.data.impressions import impressions_of, write_impressions


def table(*rows: tuple[object, object, int]) -> pa.Table:
    """Return (user, item, time) rows."""
    users, items, times = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {"user_id": list(users), "item_id": list(items), "timestamp": pa.array(times, pa.int64())}
    )


def test_each_click_answers_the_last_impression_in_its_window() -> None:
    shown = table((1, 5, 0), (1, 6, 0), (1, 5, 50), (2, 5, 0), (1, 5, 400))
    clicks = table(
        *[("1", "5", 60), ("1", "5", 60), ("1", "6", 100), ("1", "6", 101)],
        *[("2", "5", 0), ("2", "6", 10), ("3", "5", 10), ("1", "5", 399)],
    )
    match = match_clicks(shown, clicks, window=100)
    assert match.is_clicked.tolist() == [False, True, True, True, False]
    counts = (match.clicks, match.matched, match.repeated, match.never_shown, match.outside)
    assert counts == (8, 4, 1, 2, 2)
    assert match.note(100) == (
        "clicks: 4 of 8 match an impression within 100 s (1 of them repeat a click); 4 are "
        "unmatched: 2 without an impression of this user and item, 2 outside the window"
    )


def test_a_match_equals_a_search_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    shown, clicks = (
        table(*[tuple(map(int, row)) for row in rng.integers([4, 3, 60], size=(count, 3))])
        for count in (80, 50)
    )
    expected = np.zeros(80, dtype=bool)
    for user, item, time in zip(*clicks.to_pydict().values(), strict=True):
        rows = [
            (moment, row)
            for row, (u, i, moment) in enumerate(zip(*shown.to_pydict().values(), strict=True))
            if (u, i) == (user, item) and 0 <= time - moment <= 7
        ]
        if rows:
            expected[max(rows)[1]] = True
    match = match_clicks(shown, clicks, window=7)
    assert match.is_clicked.tolist() == expected.tolist()
    assert 0 < match.matched < 50


def test_empty_tables_match_nothing() -> None:
    one = table((1, 5, 0))
    empty = one.slice(0, 0)
    assert match_clicks(one, empty).is_clicked.tolist() == [False]
    assert match_clicks(empty, one).never_shown == 1
    with pytest.raises(ValueError, match="window must be ≥ 0, got -1"):
        match_clicks(one, one, window=-1)


def write_log(folder: Path) -> Path:
    """Write two lists of three items, at times 100 and 200."""
    for seconds in (100, 200):
        lists = pa.table(
            {
                "user": ["ann"] * 3 + ["bob"] * 3,
                "place": [1, 2, 3] * 2,
                "item": [7, 8, 9, 9, 8, 7],
                "score": pa.array([0.5] * 6, pa.float32()),
                "propensity": [0.5, 0.25, 1.0] * 2,
            }
        )
        log = impressions_of(lists, model="din@1", policy="epsilon=0.1", timestamp=seconds)
        write_impressions(folder, log)
    return folder


def write_catalogue(folder: Path) -> Path:
    folder.mkdir()
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\nann,7,1\nbob,8,2\n")
    (folder / "items.csv").write_text("item_id,brand\n7,x\n8,y\n9,x\n10,y\n")
    (folder / "users.csv").write_text("user_id,age\nann,30\nbob,40\n")
    return folder


def test_a_log_and_its_clicks_become_a_data_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, catalogue = write_log(tmp_path / "log"), write_catalogue(tmp_path / "shop")
    clicks = tmp_path / "clicks.csv"
    clicks.write_text("uid;item_id;ts\nann;8;130000\nbob;9;260000\nbob;7;261000\ncat;7;1000\n")
    out = tmp_path / "data"
    command = ["data", "import", "impressions", str(log), "--clicks", str(clicks)]
    options = ["--map", "user_id=uid,timestamp=ts", "--time-unit", "ms", "--window", "60"]
    assert run([*command, *options, "--catalogue", str(catalogue), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "clicks: 2 of 4 match an impression within 60 s (0 of them repeat a click)" in (
        printed.out + printed.err
    )
    data = load(out)
    assert data.items["brand"].to_pylist() == ["x", "y", "x", "y"]
    assert data.repeats == "keep"
    events = data.interactions
    users = dict(zip(data.users["user_id"].to_pylist(), data.user_keys, strict=True))
    rows = {
        (users[row["user_id"]], row["item_id"], row["timestamp"]): row for row in events.to_pylist()
    }
    assert sorted(key for key, row in rows.items() if row["label"] == 1) == [
        ("ann", 8, 100),
        ("bob", 9, 200),
    ]
    assert rows["ann", 8, 200]["propensity"] == 0.25
    assert rows["ann", 8, 200]["position"] == 2
    frame = {"uid": ["ann", "bob", "bob", "cat"], "item_id": [8, 9, 7, 7]}
    frame["ts"] = [130000, 260000, 261000, 1000]
    python = rm.Dataset.from_impressions(
        log,
        frame,
        load(catalogue),
        window=60,
        columns={"user_id": "uid", "timestamp": "ts"},
        time_unit="ms",
    )
    assert python.interactions.equals(data.interactions)
    assert python.items.equals(data.items)
    assert python.report.notes == data.report.notes
    assert run([*command, *options, "--window", "70", "--out", str(out)]) == 1
    assert "imported with window 60, not 70" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["impressions", "log"], 2, "impressions: --clicks must name the file of the clicks"),
        (["impressions", "empty", "--clicks", "c.csv"], 1, "empty: no impressions; `recops"),
        (["impressions", "log", "--clicks", "no.csv"], 1, "no.csv"),
        (["impressions", "log", "--clicks", "order.csv"], 1, "must have a column timestamp"),
        (["csv", "log", "--clicks", "c.csv"], 2, "--clicks applies to impressions, not to csv"),
        (["csv", "log", "--window", "3"], 2, "--window applies to impressions, not to csv"),
        (["s3rec", "log", "--sep", ";"], 2, "apply to csv and impressions, not to s3rec"),
    ],
)
def test_unfit_logs_and_clicks_are_one_line(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "log")
    (tmp_path / "empty").mkdir()
    (tmp_path / "c.csv").write_text("user_id,item_id,timestamp\nann,7,130\n")
    (tmp_path / "order.csv").write_text("user_id,item_id\nann,7\n")
    assert run(["data", "import", *arguments, "--out", "data"]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_impressions_of_unknown_items_are_counted(tmp_path: Path) -> None:
    catalogue = rm.Dataset.from_frames({"user_id": ["ann"], "item_id": [7], "timestamp": [1]})
    clicks = {"user_id": ["ann"], "item_id": [7], "timestamp": [120]}
    data = rm.Dataset.from_impressions(write_log(tmp_path / "log"), clicks, catalogue)
    assert data.interactions.num_rows == 4
    assert [bad.count for bad in data.report.bad_rows] == [8]
    with pytest.raises(DataError, match="clicks must have a column timestamp"):
        rm.Dataset.from_impressions(tmp_path / "log", {"user_id": ["ann"], "item_id": [7]})
