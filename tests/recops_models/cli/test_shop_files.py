"""A shop's own files on the command line: dates, booleans, names, archives and repeats."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from recops_models.cli import run
from recops_models.data import Dataset, load
from recops_models.data.sets import NAMED_SETS, NamedSet
from recops_models.data.storage import read_table

Import = Callable[..., tuple[int, str]]


@pytest.fixture
def import_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Import:
    """Return a function from the text of a log and options to exit code and output."""

    def call(text: str, *options: str, name: str = "log.csv") -> tuple[int, str]:
        content = text.encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        out = ["--out", str(tmp_path / "data"), "--force"]
        code = run(["data", "import", "csv", str(tmp_path / name), *out, *options])
        output = capsys.readouterr()
        return code, output.out + output.err

    return call


@pytest.mark.parametrize(
    ("moments", "options"),
    [
        (("31/12/2025 23:00", "01/01/2026 00:00"), ["--time-format", "%d/%m/%Y %H:%M"]),
        (("31.12.2025 23:00", "1.1.2026"), []),
        (("1767222000000000", "1767225600000000"), ["--time-unit", "us"]),
        (("1767222000000", "1767225600000"), ["--time-unit", "ms"]),
    ],
)
def test_times_of_a_shop(
    moments: tuple[str, str], options: list[str], import_csv: Import, tmp_path: Path
) -> None:
    text = f"user_id,item_id,timestamp\n1,7,{moments[0]}\n1,8,{moments[1]}\n"
    assert import_csv(text, *options)[0] == 0
    times = load(tmp_path / "data").interactions["timestamp"].to_pylist()
    assert times == [1_767_222_000, 1_767_225_600]


def test_times_can_be_ignored(import_csv: Import, tmp_path: Path) -> None:
    text = "user_id,item_id,timestamp\n1,8,9\n1,7,5\n"
    code, output = import_csv(text, "--time-unit", "order")
    assert (code, "events are in the order of the rows" in output) == (0, True)
    assert load(tmp_path / "data").interactions["item_id"].to_pylist() == [8, 7]


def test_booleans_names_with_spaces_and_archives(import_csv: Import, tmp_path: Path) -> None:
    text = "customer no\tstock keeping unit\twhen\tlabel\nann\ta\t1\tTrue\nann\tb\t2\tFalse\n"
    names = "user_id=customer no,item_id=stock keeping unit,timestamp=when"
    assert import_csv(text, "--map", names, name="log.tsv.gz")[0] == 0
    data = load(tmp_path / "data")
    assert data.interactions["label"].to_pylist() == [1.0, 0.0]
    assert (data.user_keys, data.item_keys) == (["ann"], ["a", "b"])


@pytest.mark.parametrize(
    "name",
    [
        *("user_id ", "\tuser_id", "\ufeffuser_id", "user_id\u200b", "\u00aduser_id", "'user_id'"),
        *(
            '"user_id"',
            '""user_id""',
            "user_id\u00a0",
            "\u2060user_id",
            "User_Id",
            "user id",
            "uid",
        ),
    ],
)
def test_no_error_lists_a_column_that_it_calls_missing(name: str, import_csv: Import) -> None:
    code, output = import_csv(f"{name},item_id,timestamp\n1,7,1\n1,8,2\n")
    assert code or name not in ("User_Id", "user id", "uid")
    if code:
        assert output.startswith("recops: log.csv: no column 'user_id' (columns: ")
        assert output.count("\n") == 1
        listed = output.partition("(columns: ")[2].partition(")")[0].split(", ")
        visible = ["".join(c for c in each if c.isprintable()).strip() for each in listed]
        assert "user_id" not in visible
        assert "--map" in output


def test_letter_files_of_other_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "events.json").write_text(json.dumps({"0": [0, 1, 2], "1": [1, 2, 0]}))
    codes = {str(item): ["<a_0>", f"<b_{item}>"] for item in range(3)}
    (tmp_path / "codes.json").write_text(json.dumps(codes))
    command = ["data", "import", "letter", str(tmp_path / "events.json")]
    index = ["--index", str(tmp_path / "codes.json")]
    assert run([*command, *index, "--out", str(tmp_path / "data")]) == 0
    assert "2 users, 3 items, 6 interactions" in capsys.readouterr().out
    assert run(["data", "import", "csv", str(tmp_path), *index, "--out", str(tmp_path / "o")]) == 2
    assert "--index applies to letter, not to csv" in capsys.readouterr().err


def test_the_treatment_of_repeats_is_reported(import_csv: Import, tmp_path: Path) -> None:
    rows = [f"{user},{step % 3},{step}" for user in range(3) for step in range(6)]
    text = "\n".join(["user_id,item_id,timestamp", *rows]) + "\n"
    code, output = import_csv(text)
    assert code == 0
    assert "note: repeats=keep: 50.0% of the events repeat an item of their user" in output
    assert load(tmp_path / "data").repeats == "keep"
    code, output = import_csv(text, "--repeats", "drop")
    assert "note: repeats=drop: 50.0% of the events" in output
    assert load(tmp_path / "data").repeats == "drop"


def test_a_named_set_keeps_its_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    log = {"user_id": [1] * 6, "item_id": [1, 2, 1, 2, 1, 2], "timestamp": range(6)}
    assert Dataset.from_frames(log).repeats == "keep"
    own = Dataset.from_frames(log, repeats="drop")
    monkeypatch.setitem(NAMED_SETS, "ring", NamedSet("a ring", lambda: own))
    assert load("ring").repeats == "drop"
    assert load("ring", repeats="keep").repeats == "keep"


def test_files_of_requests_have_the_names_of_the_shop(
    import_csv: Import, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Users, filters and context may have the column names that the import mapped."""
    rows = [f"{user:02},{step % 5:03},{step}" for user in range(4) for step in range(6)]
    text = "\n".join(["Customer No.,SKU,when", *rows]) + "\n"
    names = "user_id=Customer No.,item_id=SKU,timestamp=when"
    assert import_csv(text, "--map", names, "--ids", "string")[0] == 0
    out, lists = tmp_path / "popularity", tmp_path / "lists.parquet"
    assert run(["train", "popularity", "--data", str(tmp_path / "data"), "--out", str(out)]) == 0
    users, items = tmp_path / "users.csv", tmp_path / "items.csv"
    users.write_text("Customer No.\n02\n01\n")
    items.write_text("Customer No.,SKU\n01,003\n02,001\n02,003\n")
    command = ["recommend", str(out), "--users", str(users), "--out", str(lists)]
    for option, expected in (
        ("--candidates", {("02", "001"), ("02", "003"), ("01", "003")}),
        ("--allowed", {("02", "001"), ("02", "003"), ("01", "003")}),
        (
            "--banned",
            {(u, f"{i:03}") for u in ("01", "02") for i in range(5)}
            - {("02", "001"), ("02", "003"), ("01", "003")},
        ),
    ):
        assert run([*command, option, str(items)]) == 0
        table = read_table(lists)
        pairs = zip(table["user"].to_pylist(), table["item"].to_pylist(), strict=True)
        assert set(pairs) == expected
