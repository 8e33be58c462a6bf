"""Every import kind on the same events, valid and malformed."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recops_models.data import IMPORTERS, DataError, Dataset, load, save_dataset

Row = tuple[object, object]

GOOD: list[Row] = [(1, 10), (1, 11), (1, 12), (2, 11), (2, 13), (2, 10), (3, 12)]
KINDS = ("csv", "parquet", "recbole", "s3rec", "letter", "onerec", "caserec")
TIMED = ("csv", "parquet", "recbole")
TABLES = ("csv", "recbole", "caserec", "onerec")


def text(value: object) -> str:
    return "" if value is None else str(value)


def sequences(rows: list[Row]) -> dict[object, list[object]]:
    items_of: dict[object, list[object]] = {}
    for user, item in rows:
        items_of.setdefault(user, []).append(item)
    return items_of


def write_csv(folder: Path, rows: list[Row]) -> Path:
    lines = [f"{text(user)},{text(item)},{time}" for time, (user, item) in enumerate(rows)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    return folder


def write_parquet(folder: Path, rows: list[Row]) -> Path:
    def column(values: tuple[object, ...]) -> pa.Array:
        fits = all(isinstance(value, int) and abs(value) < 2**63 for value in values)
        return pa.array(values if fits else [v if v is None else str(v) for v in values])

    users, items = (column(values) for values in zip(*rows, strict=True))
    table = pa.table({"user_id": users, "item_id": items, "timestamp": np.arange(len(rows))})
    pq.write_table(table, folder / "interactions.parquet")
    return folder


def write_recbole(folder: Path, rows: list[Row]) -> Path:
    lines = [f"{text(user)}\t{text(item)}\t{time}" for time, (user, item) in enumerate(rows)]
    head = "user_id:token\titem_id:token\ttimestamp:float"
    (folder / "d.inter").write_text("\n".join([head, *lines]) + "\n")
    return folder


def write_s3rec(folder: Path, rows: list[Row]) -> Path:
    lines = [" ".join(map(text, (user, *items))) for user, items in sequences(rows).items()]
    (folder / "d.txt").write_text("\n".join(lines) + "\n")
    return folder / "d.txt"


def write_letter(folder: Path, rows: list[Row]) -> Path:
    pairs = {text(user): items for user, items in sequences(rows).items()}
    (folder / "d.inter.json").write_text(json.dumps(pairs))
    return folder


def write_onerec(folder: Path, rows: list[Row]) -> Path:
    lines = [
        f'{text(user)},"{json.dumps(items[:-1])}",{text(items[-1])}'
        for user, items in sequences(rows).items()
    ]
    (folder / "d_train.csv").write_text("\n".join(["user_id,history_item_id,item_id", *lines]))
    items = {text(item): {"title": f"t{item}"} for _, item in GOOD}
    items |= {str(i): {"title": "x"} for _, i in rows if isinstance(i, int) and 0 <= i < 2**63}
    (folder / "d.item.json").write_text(json.dumps(items))
    return folder


def write_caserec(folder: Path, rows: list[Row], **more: str) -> Path:
    lines = [f"{text(user)}\t{text(item)}\t1" for user, item in rows]
    files = {"d_history.dat": "\n".join(["User_ID\tItem_ID\tFeedback", *lines]) + "\n"}
    files |= {f"{stem}.dat": content for stem, content in more.items()}
    with zipfile.ZipFile(folder / "d.zip", "w") as archive:
        for file, content in files.items():
            archive.writestr(f"d/{file}", content)
    return folder / "d.zip"


WRITE: dict[str, Callable[[Path, list[Row]], Path]] = {
    kind: globals()[f"write_{kind}"] for kind in KINDS
}
MAIN_FILE = {
    "csv": "interactions.csv",
    "parquet": "interactions.parquet",
    "recbole": "d.inter",
    "s3rec": "d.txt",
    "letter": "d.inter.json",
    "onerec": "d_train.csv",
    "caserec": "d.zip",
}


def read(kind: str, path: Path) -> Dataset:
    return IMPORTERS["csv" if kind == "parquet" else kind](path)


def imported(kind: str, folder: Path, rows: list[Row]) -> Dataset:
    return read(kind, WRITE[kind](folder, rows))


def events(dataset: Dataset) -> list[tuple[int, int]]:
    table = dataset.interactions.select(["user_id", "item_id"])
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def reasons(dataset: Dataset) -> dict[str, int]:
    """Counts of bad rows by reason, without a hint at an option."""
    return {bad.reason.partition(", as most")[0]: bad.count for bad in dataset.report.bad_rows}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_brings_the_same_events(kind: str, tmp_path: Path) -> None:
    dataset = imported(kind, tmp_path, GOOD)
    if kind == "caserec":
        assert sorted(events(dataset)) == sorted(GOOD)
    else:
        assert sorted(events(dataset), key=lambda row: row[0]) == GOOD
    assert dataset.report.num_bad == 0
    assert "1 users have one event: leave-one-out keeps them in train" in dataset.report.notes
    assert dataset.time == {"caserec": "none"}.get(kind, "seconds" if kind in TIMED else "order")


@pytest.mark.parametrize("kind", KINDS)
def test_ids_beyond_two_to_the_53_survive(kind: str, tmp_path: Path) -> None:
    large: list[Row] = [(2**53 + 1, 2**62 + 1), (2**53 + 1, 2**63 - 1), (2**53 + 3, 2**62 + 1)]
    assert sorted(events(imported(kind, tmp_path, large))) == large


BAD_IDS = {
    "negative": -3,
    "2^63 or more": 2**63,
    "not an integer": "1.5",
    "missing": None,  # Not for s3rec: a line of words cannot express a missing id.
}
KINDS_AND_BAD_IDS = [
    (kind, fault) for kind in KINDS for fault in BAD_IDS if (kind, fault) != ("s3rec", "missing")
]


@pytest.mark.parametrize("column", ["user_id", "item_id"])
@pytest.mark.parametrize(("kind", "fault"), KINDS_AND_BAD_IDS)
def test_bad_ids_are_counted_and_named(kind: str, fault: str, column: str, tmp_path: Path) -> None:
    bad = BAD_IDS[fault]
    rows: list[Row] = [(bad, 13)] if column == "user_id" else [(4, bad), (5, bad)]
    dataset = imported(kind, tmp_path, [*GOOD[:2], *rows, *GOOD[2:]])
    assert reasons(dataset) == {f"{column} is {fault}": len(rows)}
    assert sorted(events(dataset)) == sorted(GOOD)


@pytest.mark.parametrize("kind", KINDS)
def test_duplicates_are_counted_and_named(kind: str, tmp_path: Path) -> None:
    path = WRITE[kind](tmp_path, GOOD)
    file = tmp_path / MAIN_FILE[kind]
    if kind == "parquet":
        table = pq.read_table(file)
        pq.write_table(pa.concat_tables([table, table.slice(3, 1)]), file)
    elif kind == "letter":
        file.write_text(file.read_text()[:-1] + ', "2": [10]}')
    elif kind == "caserec":
        write_caserec(tmp_path, [*GOOD, GOOD[3]])
    else:
        lines = file.read_text().rstrip("\n").split("\n")
        file.write_text("\n".join([*lines, lines[1 if kind in ("s3rec", "onerec") else 4]]))
    dataset = read(kind, path)
    users = kind in ("s3rec", "letter")
    reason = "a user is listed twice" if users else "exact repetition of an earlier row"
    assert reasons(dataset) == {reason: 1}
    assert sorted(events(dataset)) == sorted(GOOD)


@pytest.mark.parametrize("kind", TIMED)
def test_unsorted_times_are_sorted_and_noted(kind: str, tmp_path: Path) -> None:
    path = WRITE[kind](tmp_path, GOOD)
    file = tmp_path / MAIN_FILE[kind]
    if kind == "parquet":
        pq.write_table(pq.read_table(file).take([6, 0, 1, 2, 4, 3, 5]), file)
    else:
        head, *lines = file.read_text().rstrip("\n").split("\n")
        file.write_text("\n".join([head, *(lines[row] for row in (6, 0, 1, 2, 4, 3, 5))]))
    dataset = read(kind, path)
    assert events(dataset) == GOOD
    assert f"{file.name}: 2 rows are earlier than the row before them; sorted" in (
        dataset.report.notes
    )


@pytest.mark.parametrize("kind", TABLES)
def test_rows_that_cannot_be_split_are_counted_and_named(kind: str, tmp_path: Path) -> None:
    path = WRITE[kind](tmp_path, GOOD)
    row = {"csv": "7,10", "onerec": "7,[],10,x", "recbole": "7\t10", "caserec": "7\t10"}[kind]
    if kind == "caserec":
        with zipfile.ZipFile(path) as archive:
            content = archive.read("d/d_history.dat").decode()
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("d_history.dat", f"{content}{row}\n")
    else:
        file = tmp_path / MAIN_FILE[kind]
        file.write_text(f"{file.read_text().rstrip()}\n{row}\n")
    dataset = read(kind, path)
    fields = len(row.split("\t" if "\t" in row else ","))
    assert reasons(dataset) == {f"a row has {fields} fields, not 3": 1}
    assert sorted(events(dataset)) == sorted(GOOD)


FOREIGN = {"empty": b"", "binary": b"\x00\xff\xfe\x80" * 50, "list": b"[1, 2]", "nothing": b"{}"}


@pytest.mark.parametrize("content", FOREIGN)
@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_file_gives_a_one_line_error(kind: str, content: str, tmp_path: Path) -> None:
    if (kind, content) == ("s3rec", "list"):
        content = "nothing"  # "[1, 2]" is a valid line: user "[1,", item "2]".
    path = WRITE[kind](tmp_path, GOOD)
    (tmp_path / MAIN_FILE[kind]).write_bytes(FOREIGN[content])
    with pytest.raises(DataError, match=MAIN_FILE[kind]) as error:
        read(kind, path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("kind", ["parquet", "letter", "caserec"])
def test_a_truncated_file_is_refused(kind: str, share: float, tmp_path: Path) -> None:
    path = WRITE[kind](tmp_path, GOOD)
    file = tmp_path / MAIN_FILE[kind]
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=rf"{file.name}: not readable as"):
        read(kind, path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_path_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        read(kind, tmp_path / "nowhere")
    with pytest.raises(DataError, match=tmp_path.name):
        read(kind, tmp_path)


@pytest.mark.parametrize(
    ("kind", "column"),
    [(kind, column) for kind in TIMED for column in ("user_id", "item_id")]
    + [("recbole", "timestamp")]
    + [("onerec", column) for column in ("user_id", "history_item_id", "item_id")],
)
def test_a_missing_column_is_named(kind: str, column: str, tmp_path: Path) -> None:
    path = WRITE[kind](tmp_path, GOOD)
    file = tmp_path / MAIN_FILE[kind]
    if kind == "parquet":
        pq.write_table(pq.read_table(file).rename_columns({column: "other"}), file)
    else:
        head, rows = file.read_text().split("\n", 1)
        file.write_text(re.sub(rf"\b{column}\b", "other", head) + "\n" + rows)
    with pytest.raises(DataError, match=rf"{file.name}: no column '{column}' \(columns: .*other"):
        read(kind, path)


@pytest.mark.parametrize("kind", ["csv", "parquet", "recbole", "caserec"])
@pytest.mark.parametrize("value", ["nan", "inf", "good", ""])
def test_bad_numbers_are_counted_and_named(kind: str, value: str, tmp_path: Path) -> None:
    path = WRITE[kind](tmp_path, GOOD)
    file = tmp_path / MAIN_FILE[kind]
    column = {"csv": "label", "parquet": "label", "recbole": "rating", "caserec": "weight"}[kind]
    values = ["1", value, *["0"] * 5]
    if kind == "parquet":
        table = pq.read_table(file).append_column("label", pa.array([v or None for v in values]))
        pq.write_table(table, file)
    elif kind == "caserec":
        rows = [f"{u}\t{i}\t{v}" for (u, i), v in zip(GOOD[:3], values[:3], strict=True)]
        path = write_caserec(tmp_path, GOOD, d_ratings="\n".join(["U\tI\tR", *rows, "9\t9\t9"]))
    else:
        comma, kind_of = (",", "") if kind == "csv" else ("\t", ":float")
        head, *lines = file.read_text().rstrip("\n").split("\n")
        rows = [f"{line}{comma}{v}" for line, v in zip(lines, values, strict=True)]
        file.write_text("\n".join([f"{head}{comma}{column}{kind_of}", *rows]) + "\n")
    fault = {"good": "not a number", "": "missing"}.get(value, "not finite")
    dataset = read(kind, path)
    assert reasons(dataset) == {f"{column} is {fault}": 1}
    assert sorted(events(dataset)) == sorted(GOOD[:1] + GOOD[2:])


OTHER_FILES: list[tuple[str, dict[str, str], str | dict[str, int]]] = [
    ("recbole", {"d.item": ""}, "d.item: not readable as delimited text"),
    ("recbole", {"d.item": "x:token\n1\n"}, "d.item: no column 'item_id'"),
    ("recbole", {"d.item": "item_id:token\tx:int\n10\t1\n"}, "type of column 'x' must be token"),
    ("recbole", {"d.item": "item_id:token\tx:token\tx:float\n1\t1\t1\n"}, "names must be unique"),
    ("recbole", {"d.user": "user_id:token\n1\n2\n2\n"}, {"user_id is listed twice": 1}),
    ("recbole", {"d.user": "user_id:token\n-1\n"}, {"user_id is negative": 1}),
    ("s3rec", {"d_item2attributes.json": '{"10": [1.5]}'}, "got another value for item '10'"),
    ("s3rec", {"d_item2attributes.json": f'{{"1": [{2**63}]}}'}, "got another value for item '1'"),
    ("s3rec", {"d_item2attributes.json": '{"10": [true]}'}, "got another value for item '10'"),
    ("s3rec", {"d_item2attributes.json": '{"10": null}'}, "got another value for item '10'"),
    ("s3rec", {"d_item2attributes.json": "{}"}, "must be a JSON object from item id"),
    (
        "s3rec",
        {"d_item2attributes.json": '{"10": [1], "11": [], "12": [], "13": [2], "10": [3]}'},
        {"item_id is listed twice": 1},
    ),
    ("letter", {"d.index.json": '{"10": [1, 2]}'}, "semantic IDs must be lists of tokens"),
    ("letter", {"d.index.json": '{"10": ["<b_1>", "<a_1>"]}'}, "semantic IDs must be lists"),
    (
        "letter",
        {"d.index.json": '{"10": ["<a_1>", "<b_0>"], "11": ["<a_1>"], "11": ["<a_2>", "<b_2>"]}'},
        {
            "a semantic ID is not 2 tokens <a_…>, <b_…>, …": 1,
            "item_id is not among the items": 3,
        },
    ),
    ("letter", {"d.inter.json": '{"1": [10], "2": [1.0], "3": [true]}'}, {"not a list of ids": 2}),
    ("onerec", {"d.item.json": '{"10": null}'}, "no valid interaction is left"),
    ("onerec", {"d.index.json": "[]"}, "an object from item id to a list of tokens"),
    ("onerec", {"d_test.csv": "user_id,history_item_id,item_id\n1,[1.5],10\n"}, {"not a list": 1}),
    ("onerec", {"d_test.csv": "user_id,history_item_id,item_id\n1,10,10\n"}, {"not a list": 1}),
]


@pytest.mark.parametrize(("kind", "files", "expected"), OTHER_FILES)
def test_files_of_items_and_users_are_checked(
    kind: str, files: dict[str, str], expected: str | dict[str, int], tmp_path: Path
) -> None:
    path = WRITE[kind](tmp_path, GOOD)
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    if isinstance(expected, str):
        with pytest.raises(DataError, match=re.escape(expected)) as error:
            read(kind, path)
        assert "\n" not in str(error.value)
    else:
        counts = reasons(read(kind, path))
        assert len(counts) == len(expected)
        for part, count in expected.items():
            assert [n for reason, n in counts.items() if part in reason] == [count]


def test_recbole_lists_of_categories_hold_no_blanks(tmp_path: Path) -> None:
    path = write_recbole(tmp_path, GOOD)
    lines = ["item_id:token\tclass:token_seq", "10\t", "11\t a  b ", "12\tb", "13\ta"]
    (tmp_path / "d.item").write_text("\n".join(lines) + "\n")
    assert read("recbole", path).items["class"].to_pylist() == [None, ["a", "b"], ["b"], ["a"]]


def test_semantic_ids_of_the_source_are_not_attributes(tmp_path: Path) -> None:
    path = write_letter(tmp_path, GOOD)
    index = {str(item): [f"<a_{item}>", f"<b_{2 * item}>"] for item in (10, 11, 12, 13)}
    (tmp_path / "d.index.json").write_text(json.dumps(index))
    dataset = read("letter", path)
    save_dataset(dataset, tmp_path / "saved")
    for data in (dataset, load(tmp_path / "saved")):
        assert data.items["sid"].to_pylist() == [[item, 2 * item] for item in (10, 11, 12, 13)]
        assert not any(data.item_columns(role) for role in ("text", "attribute", "number"))


def test_onerec_merges_overlapping_examples(tmp_path: Path) -> None:
    write_onerec(tmp_path, GOOD[:1])
    (tmp_path / "d_train.csv").unlink()
    head = "user_id,history_item_id,item_id\n"
    valid = 'a,"[10, 11]",12\na,"[11, 12]",10\nb,[10],11\nc,[13],10\nc,[11],13\n'
    test = 'a,"[12, 10]",13\nd,[],10\n'
    (tmp_path / "d_valid.csv").write_text(head + valid)
    (tmp_path / "d_test.csv").write_text(head + test)
    description = {"title": "t", "description": "['one', 'two']", "brand": "", "categories": None}
    items = {str(item): description for item in (10, 11, 12, 13)}
    (tmp_path / "d.item.json").write_text(json.dumps(items))
    (tmp_path / "d.index.json").write_text('{"10": ["<a_1>"], "99": ["<a_2>"]}')
    dataset = read("onerec", tmp_path)
    assert sequences(sorted(events(dataset), key=lambda row: row[0])) == {
        0: [10, 11, 12, 10, 13],
        1: [10, 11],
        2: [13, 10, 11, 13],
        3: [10],
    }
    assert dataset.users.select(["user_key", "held_out"]).to_pydict() == {
        "user_key": ["a", "b", "c", "d"],
        "held_out": [True, False, False, True],
    }
    assert dataset.items.column_names == ["item_id", "title", "description", "sid"]
    assert dataset.items["description"].to_pylist() == ["one two"] * 4
    assert dataset.items["sid"].to_pylist() == [[1], None, None, None]
    assert "d.item.json: 3 items have no semantic ID" in dataset.report.notes
    assert any("1 do not overlap the previous one" in note for note in dataset.report.notes)


def test_caserec_joins_values_and_describes_items(tmp_path: Path) -> None:
    info = "id\tname\tgenre\ttype\tepisodes\n10\tX\tA, B\tTV\t3\n11\tY\t\tTV\t\n12\tZ\tB\tTV\t1\n"
    path = write_caserec(
        tmp_path,
        [*GOOD, GOOD[0]],
        d_ratings="U\tI\tR\n1\t11\t7.5\n2\t10\t3\n9\t9\t1\n1\t11\t2\n",
        item_info=info,
        user_info="id\tname\n1\tAnn\n",
    )
    dataset = read("caserec", path)
    assert reasons(dataset) == {
        "exact repetition of an earlier row": 1,
        "item_id is not among the items": 1,
    }
    weights = dict(zip(events(dataset), dataset.interactions["weight"].to_pylist(), strict=True))
    good = [row for row in GOOD if row[1] != 13]
    assert weights == {row: {(1, 11): 7.5, (2, 10): 3.0}.get(row, 0.0) for row in good}
    assert dataset.items.to_pydict() == {
        "item_id": [10, 11, 12],
        "title": ["X", "Y", "Z"],
        "genre": [["A", "B"], None, ["B"]],
        "type": ["TV", "TV", "TV"],
        "episodes": [3.0, None, 1.0],
    }
    assert dataset.report.notes[1:3] == (
        "d_ratings.dat: 4 values are weights of the pairs in d_history.dat; "
        "1 have an unknown pair, 1 repeat an earlier one, 0 could not be split",
        "user_info.dat: not used",
    )
