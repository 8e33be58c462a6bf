"""Importers: valid rows, and counts and reasons of every kind of bad row."""

from __future__ import annotations

import datetime
import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recops import files
from recops.files import CorruptFileError
from recops_models.data import (
    BadRows,
    DataError,
    Dataset,
    ImportReport,
    load,
    load_dataset,
    save_dataset,
    storage,
)
from recops_models.data.importers.folder import read_folder
from recops_models.data.importers.recbole import read_recbole
from recops_models.data.importers.s3rec import read_s3rec


def write(folder: Path, **files: str) -> Path:
    """Write CSV files; the keywords are their stems."""
    for stem, content in files.items():
        (folder / f"{stem}.csv").write_text(content)
    return folder


REPORT = ImportReport(
    "f.csv", {"f.csv": 9}, (BadRows("f.csv", "user_id is missing", 3, "row 1"),), ("note",)
)


def reasons(dataset: Dataset) -> dict[str, int]:
    return {bad.reason: bad.count for bad in dataset.report.bad_rows}


KEEP_TEXT = ", as most are; `recops data import --ids string` keeps every id, as text"
NO_TIME = "timestamp is neither a number nor a known date; --time-format names its format"
GOOD = "user_id,item_id,timestamp\n1,10,100\n2,11,90\n1,12,110\n"


def test_a_folder_is_loaded_in_time_order(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, interactions=GOOD))
    assert dataset.interactions.to_pydict() == {
        "user_id": [2, 1, 1],
        "item_id": [11, 10, 12],
        "timestamp": [90, 100, 110],
    }
    assert dataset.interactions["user_id"].type == pa.int64()
    assert dataset.items["item_id"].to_pylist() == [10, 11, 12]
    assert dataset.users["user_id"].to_pylist() == [1, 2]
    assert dataset.report.num_bad == 0
    assert dataset.time == "seconds"


def test_events_of_one_second_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = "".join(f"1,{item},100\n" for item in (5, 3, 9, 1, 7))
    dataset = load(write(tmp_path, interactions="user_id,item_id,timestamp\n" + rows))
    assert dataset.interactions["item_id"].to_pylist() == [5, 3, 9, 1, 7]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",10,5", "user_id is missing"),
        ("1,,5", "item_id is missing"),
        ("1,10,", "timestamp is missing"),
        ("-3,10,5", "user_id is negative"),
        ("1,ten,5", f"item_id is not an integer{KEEP_TEXT}"),
        ("1,007,5", f"item_id is not an integer{KEEP_TEXT}"),
        ("1,9223372036854775808,5", "item_id is 2^63 or more"),
        ("99999999999999999999999,10,5", "user_id is 2^63 or more"),
        ("1,10,soon", NO_TIME),
        ("1,10,2023-02-30", NO_TIME),
        ("1,10,2023-02-01 25:00:00", NO_TIME),
        ("1,10,nan", "timestamp is not finite"),
        ("1,10,inf", "timestamp is not finite"),
        (
            "1,10,1700000000000",
            "timestamp is past the year 9999; it must be in s since the epoch, or --time-unit "
            "names its unit",
        ),
        ("1,10,100", "exact repetition of an earlier row"),
        ("1,10", "a row has 2 fields, not 3"),
        ("1,10,5,8", "a row has 4 fields, not 3"),
    ],
)
def test_each_kind_of_bad_row_is_counted_and_named(row: str, reason: str, tmp_path: Path) -> None:
    dataset = load(write(tmp_path, interactions=f"{GOOD}{row}\n3,10,500\n{row}\n"))
    assert reasons(dataset) == {reason: 2}
    assert dataset.interactions.num_rows == 4
    assert dataset.report.rows_read == {"interactions.csv": 6}
    (bad,) = dataset.report.bad_rows
    assert bad.file == "interactions.csv"
    assert bad.example.startswith("row 4")


def test_row_numbers_count_the_rows_that_could_not_be_split(tmp_path: Path) -> None:
    rows = "user_id,item_id,timestamp\n1,1,1\n1,2\n1,3,3\n1,x,4\n"
    dataset = load(write(tmp_path, interactions=rows))
    assert {bad.reason: bad.example for bad in dataset.report.bad_rows} == {
        "a row has 2 fields, not 3": "row 2",
        f"item_id is not an integer{KEEP_TEXT}": "row 4: item_id='x'",
    }


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("label", "nan", "label is not finite"),
        ("label", "", "label is missing"),
        ("rating", "good", "rating is not a number"),
        ("weight", "inf", "weight is not finite"),
        ("weight", "-1", "weight is negative"),
        ("rating", "1e39", "rating is not finite in 32 bits"),
        ("propensity", "0", "propensity is not in (0, 1]"),
        ("propensity", "1.01", "propensity is not in (0, 1]"),
        ("position", "first", "position is not a number"),
    ],
)
def test_bad_optional_values(column: str, value: str, reason: str, tmp_path: Path) -> None:
    rows = f"user_id,item_id,timestamp,{column}\n1,10,1,1\n1,11,2,{value}\n1,12,3,0.5\n"
    dataset = load(write(tmp_path, interactions=rows))
    assert reasons(dataset) == {reason: 1}
    assert dataset.interactions[column].to_pylist() == [1.0, 0.5]
    assert dataset.interactions[column].type == pa.float32()


def test_a_row_with_two_faults_counts_once(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, interactions=f"{GOOD},x,soon\n"))
    assert reasons(dataset) == {"user_id is missing": 1}


def test_ids_beyond_two_to_the_53_survive_csv(tmp_path: Path) -> None:
    ids = [2**53, 2**53 + 1, 2**63 - 1]
    rows = "".join(f"{ids[0]},{item},1\n" for item in ids)
    items = "item_id,title\n" + "".join(f"{item},t{item}\n" for item in ids)
    write(tmp_path, interactions="user_id,item_id,timestamp\n" + rows, items=items)
    dataset = load(tmp_path)
    assert dataset.interactions["item_id"].to_pylist() == ids
    assert dataset.users["user_id"].to_pylist() == [2**53]
    assert dataset.items["title"].to_pylist() == [f"t{item}" for item in ids]


def test_string_ids_are_numbered_and_kept_as_keys(tmp_path: Path) -> None:
    rows = "user_id,item_id,timestamp\nzoe,B07,1\nann,A01,2\nann,B07,3\n,B07,4\n"
    write(tmp_path, interactions=rows, items="item_id,title\nA01,One\nB07,Two\nC99,Three\n")
    dataset = load(tmp_path)
    assert dataset.users.to_pydict() == {"user_id": [0, 1], "user_key": ["ann", "zoe"]}
    assert dataset.items["item_key"].to_pylist() == ["A01", "B07", "C99"]
    assert dataset.interactions["item_id"].to_pylist() == [1, 0, 1]
    assert dataset.interactions["user_id"].to_pylist() == [1, 0, 0]
    assert reasons(dataset) == {"user_id is missing": 1}
    assert dataset.user_id("zoe") == 1
    assert dataset.item_id("C99") == 2
    with pytest.raises(DataError, match="no user 'bob' among 2 users, such as ann"):
        dataset.user_id("bob")


def test_ids_with_leading_zeros_are_text(tmp_path: Path) -> None:
    rows = "user_id,item_id,timestamp\n0001,0007,1\n0001,7,2\n0002,0030,3\n"
    dataset = load(write(tmp_path, interactions=rows))
    assert dataset.users["user_key"].to_pylist() == ["0001", "0002"]
    assert dataset.items["item_key"].to_pylist() == ["0007", "0030", "7"]


def test_infinite_numbers_of_items_are_left_out_and_counted(tmp_path: Path) -> None:
    items = "item_id,price,weight\n10,inf,1\n11,-inf,2\n12,3,nan\n"
    dataset = load(write(tmp_path, interactions=GOOD, items=items))
    assert dataset.items["price"].to_pylist() == [None, None, 3.0]
    (note,) = (note for note in dataset.report.notes if "infinite" in note)
    assert note == "items.csv: 2 values of price are infinite; set to null"


def test_text_of_items_must_be_utf8(tmp_path: Path) -> None:
    write(tmp_path, interactions=GOOD)
    (tmp_path / "items.csv").write_bytes("item_id,title\n10,Amélie\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"items\.csv: column 'title' is not UTF-8 text"):
        load(tmp_path)


@pytest.mark.parametrize("moment", ["-62135596801", "2024-01-01 10:00:00+99:99"])
def test_impossible_times_are_bad_rows(moment: str, tmp_path: Path) -> None:
    dataset = load(write(tmp_path, interactions=f"{GOOD}3,10,{moment}\n"))
    (reason,) = reasons(dataset)
    assert reason.startswith("timestamp is ")
    assert dataset.interactions.num_rows == 3


def test_integer_ids_are_looked_up_as_text(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, interactions=GOOD))
    assert dataset.user_id("2") == 2
    with pytest.raises(DataError, match="no item '9'"):
        dataset.item_id("9")


def test_the_kind_of_ids_can_be_set(tmp_path: Path) -> None:
    write(tmp_path, interactions="user_id,item_id,timestamp\n1,a,1\n1,5,2\n2,b,3\n")
    assert reasons(read_folder(tmp_path, ids="integer")) == {"item_id is not an integer": 2}
    assert read_folder(tmp_path, ids="string").users["user_key"].to_pylist() == ["1", "2"]


def test_the_items_file_is_the_catalogue(tmp_path: Path) -> None:
    items = "item_id,title,price\n12,Last,3.5\n10,First,\n77,Unseen,1\n10,Again,2\n"
    dataset = load(write(tmp_path, interactions=GOOD, items=items))
    assert dataset.items["item_id"].to_pylist() == [10, 12, 77]
    assert dataset.items["title"].to_pylist() == ["First", "Last", "Unseen"]
    assert dataset.items["price"].to_pylist() == [None, 3.5, 1.0]
    assert dataset.interactions["item_id"].to_pylist() == [10, 12]
    assert reasons(dataset) == {
        "item_id is listed twice": 1,
        "item_id is not among the items": 1,
    }


def test_only_empty_text_is_missing(tmp_path: Path) -> None:
    items = "item_id,title,price\n10,NA,1.5\n11,,NA\n12,null,\n13,Up,\n"
    dataset = load(write(tmp_path, interactions=GOOD, items=items))
    assert dataset.items["title"].to_pylist() == ["NA", None, "null", "Up"]
    assert dataset.items["price"].to_pylist() == [1.5, None, None, None]


def test_unlisted_users_get_nulls(tmp_path: Path) -> None:
    users = "user_id,age\n2,30\n8,40\n"
    dataset = load(write(tmp_path, interactions=GOOD, users=users))
    assert dataset.users.to_pydict() == {"user_id": [1, 2, 8], "age": [None, 30, 40]}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1700000000", 1_700_000_000),
        ("1.7e9", 1_700_000_000),
        ("12.75", 12),
        ("-1", -1),
        ("1970-01-02", 86_400),
        ("1970-01-01 00:01:00", 60),
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01 00:01", 60),
        ("1970-01-01T00:01:00.75", 60),
        ("1970-01-01 01:01:00.5+01:00", 60),
        ("1969-12-31T21:31:00-0230", 60),
        ("1970-01-01 01:01:00+01", 60),
    ],
)
def test_times_in_text(text: str, seconds: int, tmp_path: Path) -> None:
    rows = f"user_id,item_id,timestamp\n1,1,{text}\n"
    dataset = load(write(tmp_path, interactions=rows))
    assert dataset.interactions["timestamp"].to_pylist() == [seconds]


def test_parquet_with_every_type(tmp_path: Path) -> None:
    moment = datetime.datetime(1970, 1, 1, 0, 2, tzinfo=datetime.timezone.utc)
    interactions = {
        "user_id": pa.array([1.0, float("nan"), 2.5, 3.0]),
        "item_id": pa.array([2**64 - 1, 4, 4, 4], pa.uint64()),
        "timestamp": pa.array([moment, moment, moment, moment], pa.timestamp("ms", "UTC")),
        "label": pa.array([True, True, True, False]),
        "session": pa.array(["a", "b", "c", "d"]),
    }
    pq.write_table(pa.table(interactions), tmp_path / "interactions.parquet")
    items = {"item_id": pa.array([4]), "tags": pa.array([["x", "y"]])}
    pq.write_table(pa.table(items), tmp_path / "items.parquet")
    dataset = load(tmp_path)
    assert dataset.interactions.to_pydict() == {
        "user_id": [3],
        "item_id": [4],
        "timestamp": [120],
        "label": [0.0],
    }
    assert reasons(dataset) == {
        "user_id is missing": 1,
        f"user_id is not an integer{KEEP_TEXT}": 1,
        "item_id is 2^63 or more": 1,
    }
    assert dataset.report.notes == (
        "interactions.parquet: not used: session; events keep numbers, with a decimal point, and "
        "text that repeats",
        "1 users have one event: leave-one-out keeps them in train",
    )
    assert dataset.item_columns("attribute") == ["tags"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no interactions.parquet or interactions.csv"),
        ({"interactions": ""}, "interactions.csv: not readable as delimited text"),
        ({"interactions": "user_id,item_id,timestamp\n"}, "no valid interaction is left"),
        ({"interactions": "user_id,item\n1,2\n"}, "no column 'item_id' .columns: user_id, item"),
        (
            {"interactions": "user_id,item_id,day\n1,2,2026-01-31\n"},
            "no column 'timestamp', but 'day' looks like times: .*--map timestamp=day",
        ),
        ({"interactions": GOOD, "items": "id\n1\n"}, "items.csv: no column 'item_id'"),
        ({"interactions": GOOD, "items": "item_id,item_key\n1,2\n"}, "item_key is reserved"),
        ({"interactions": GOOD, "items": "item_id,a,a\n1,2,3\n"}, "column names must be unique"),
        ({"interactions": "user_id;item\n1;2\n"}, "no column 'item_id' .columns: user_id, item.;"),
        (
            {"interactions": "user_id,item_id,timestamp\nx,y,z\n"},
            "no valid interaction is left .*timestamp is neither a number nor a known date",
        ),
    ],
)
def test_unusable_folders_are_refused(files: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load(write(tmp_path, **files))


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_every_parquet_type_of_text_is_read_as_text(kind: pa.DataType, tmp_path: Path) -> None:
    moments = pa.array(["1970-01-02", "1970-01-03", None]).cast(kind)
    table = pa.table({"user_id": pa.array(["a", "b", "c"]).cast(kind), "item_id": [1, 2, 3]})
    pq.write_table(table.append_column("timestamp", moments), tmp_path / "interactions.parquet")
    dataset = load(tmp_path)
    assert dataset.interactions["timestamp"].to_pylist() == [86_400, 172_800]
    assert dataset.users["user_key"].to_pylist() == ["a", "b"]
    assert reasons(dataset) == {"timestamp is missing": 1}


def test_string_views_are_text_of_items(tmp_path: Path) -> None:
    write(tmp_path, interactions=GOOD)
    titles = pa.array(["Heat", "Up"]).cast(pa.string_view())
    genres = pa.array([["a"], ["a", "b"]], pa.list_(pa.string_view()))
    table = pa.table({"item_id": [10, 11], "title": titles, "genre": genres})
    pq.write_table(table, tmp_path / "items.parquet")
    items = load(tmp_path).items
    assert items["title"].to_pylist() == ["Heat", "Up"]
    assert items["genre"].to_pylist() == [["a"], ["a", "b"]]


@pytest.mark.parametrize("column", ["user_id", "item_id", "timestamp", "rating"])
@pytest.mark.parametrize("value", [b"\xff", [1], {"a": 1}])
def test_columns_must_hold_numbers_or_text(column: str, value: object, tmp_path: Path) -> None:
    table = {name: [1] for name in ("user_id", "item_id", "timestamp", "rating")}
    pq.write_table(pa.table({**table, column: [value]}), tmp_path / "interactions.parquet")
    with pytest.raises(DataError, match=f"column '{column}' must .* got (binary|list|struct)"):
        load(tmp_path)


def test_parquet_column_names_must_be_unique(tmp_path: Path) -> None:
    table = pa.Table.from_arrays(
        [pa.array([1])] * 4, ["user_id", "item_id", "item_id", "timestamp"]
    )
    pq.write_table(table, tmp_path / "interactions.parquet")
    with pytest.raises(DataError, match="column names must be unique"):
        load(tmp_path)


def test_a_catalogue_may_have_only_ids(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, interactions=GOOD, items="item_id\n12\n11\n77\n"))
    assert dataset.items.to_pydict() == {"item_id": [11, 12, 77]}
    assert reasons(dataset) == {"item_id is not among the items": 1}


def test_a_single_file_holds_interactions(tmp_path: Path) -> None:
    write(tmp_path, events=GOOD)
    for dataset in (read_folder(tmp_path / "events.csv"), load(tmp_path / "events.csv")):
        assert (dataset.name, dataset.interactions.num_rows) == ("events", 3)


def test_two_files_for_one_table_are_refused(tmp_path: Path) -> None:
    write(tmp_path, interactions=GOOD)
    (tmp_path / "interactions.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="remove one"):
        load(tmp_path)


def test_files_of_another_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "interactions.parquet").write_text("not parquet")
    with pytest.raises(DataError, match="not readable as Parquet"):
        load(tmp_path)
    (tmp_path / "interactions.parquet").unlink()
    for encoding in ("latin-1", "utf-16"):
        content = "user_id,item_id,timestamp\nå,1,1\n".encode(encoding)
        (tmp_path / "interactions.csv").write_bytes(content)
        with pytest.raises(DataError, match="not readable as delimited text"):
            load(tmp_path)


def test_recbole_keeps_quotes_lists_and_types(small: Dataset) -> None:
    assert (small.users.num_rows, small.items.num_rows) == (60, 90)
    assert small.items["movie_title"][3].as_py().split('"')[1] == "3"
    assert small.item_columns("text") == ["movie_title"]
    assert small.item_columns("attribute") == ["release_year", "class"]
    assert small.items["class"].type == pa.list_(pa.string())
    assert pa.types.is_dictionary(small.users["age"].type)
    assert small.interactions["rating"].type == pa.float32()
    assert small.report.num_bad == 0


def test_recbole_errors_name_the_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold one \.inter file, got 0"):
        read_recbole(tmp_path)
    (tmp_path / "a.inter").write_text("user_id:token\titem_id:token\ttimestamp\n1\t2\t3\n")
    with pytest.raises(DataError, match="header 'timestamp' has no type"):
        read_recbole(tmp_path)
    (tmp_path / "a.inter").write_text("user_id:token\titem_id:token\n1\t2\n")
    with pytest.raises(DataError, match="no column 'timestamp'"):
        read_recbole(tmp_path)
    head = "user_id:token\titem_id:token\ttimestamp:float\n"
    (tmp_path / "a.inter").write_text(f"{head}1\t2\t3.5\nx\t2\t4\n1\t2\n5\t6\t7\n")
    dataset = read_recbole(tmp_path / "a.inter")
    assert dataset.name == "a"
    assert reasons(dataset) == {
        "a row has 2 fields, not 3": 1,
        f"user_id is not an integer{KEEP_TEXT}": 1,
    }
    (tmp_path / "a.item").write_text("item_id:token\tprice:float\n2\tcheap\n")
    with pytest.raises(DataError, match="'price' is declared float"):
        read_recbole(tmp_path)


def test_s3rec_reads_sequences_and_attributes(tmp_path: Path) -> None:
    (tmp_path / "S.txt").write_text("1 5 6 5\n2 6\n\n3\n4 x 7\n1 7\n")
    attributes = {"5": [1, 2, 1], "6": [], "7": [2]}
    (tmp_path / "S_item2attributes.json").write_text(json.dumps(attributes))
    dataset = read_s3rec(tmp_path / "S.txt")
    assert dataset.time == "order"
    assert "positions" in dataset.report.notes[0]
    user, item, time = (
        dataset.interactions[name].to_numpy() for name in ("user_id", "item_id", "timestamp")
    )
    assert item[user == 1].tolist() == [5, 6, 5]
    assert time[user == 1].tolist() == [0, 1, 2]
    assert item[user == 4].tolist() == [7]
    assert dataset.items["attributes"].to_pylist() == [[1, 2], [], [2]]
    assert {bad.reason: bad.example for bad in dataset.report.bad_rows} == {
        "a user without items": "row 4",
        "a user is listed twice": "row 6",
        f"item_id is not an integer{KEEP_TEXT}": "row 5: item_id='x'",
    }


@pytest.mark.parametrize(
    ("text", "attributes", "message"),
    [
        (b"", b"{}", "has no sequences"),
        (b"\xff\xfe", b"{}", "not UTF-8"),
        (b"1 2 3\n", b"[1]", "a JSON object from item id"),
        (b"1 2 3\n", b'{"2": "red"}', "a JSON object from item id"),
        (b"1 2 3\n", b"{", "a JSON object from item id"),
    ],
)
def test_s3rec_errors_name_the_fault(
    text: bytes, attributes: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "S.txt").write_bytes(text)
    (tmp_path / "S_item2attributes.json").write_bytes(attributes)
    with pytest.raises(DataError, match=message):
        read_s3rec(tmp_path / "S.txt")


def test_a_saved_data_set_is_loaded_unchanged(small: Dataset, tmp_path: Path) -> None:
    save_dataset(small, tmp_path / "new" / "folder")
    again = load(tmp_path / "new" / "folder")
    assert again.interactions.equals(small.interactions)
    assert again.items.equals(small.items)
    assert again.users.equals(small.users)
    assert (again.name, again.time, again.report) == (small.name, small.time, small.report)


@pytest.mark.parametrize("name", ["interactions.parquet", "items.parquet", "dataset.json"])
def test_a_flipped_bit_is_detected(name: str, small: Dataset, tmp_path: Path) -> None:
    save_dataset(small, tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    for position in range(5, len(content), max(1, len(content) // 7)):
        content[position] ^= 16
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorruptFileError, match=name):
            load(tmp_path)
        content[position] ^= 16
    (tmp_path / name).write_bytes(content)
    load(tmp_path)


@pytest.mark.parametrize("writes", range(5))
@pytest.mark.parametrize("before", ["nothing", "another data set"])
def test_an_interrupted_import_is_refused(
    writes: int, before: str, small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, interactions=GOOD)
    out = tmp_path / "out"
    if before == "another data set":
        save_dataset(load(tmp_path), out)
    remaining = writes
    new_file = files.new_file

    def interrupted_file(path: Path) -> AbstractContextManager[BinaryIO]:
        nonlocal remaining
        if not remaining:
            raise KeyboardInterrupt
        remaining -= 1
        return new_file(path)

    with monkeypatch.context() as patch:
        for module in (files, storage):
            patch.setattr(module, "new_file", interrupted_file)
        with pytest.raises(KeyboardInterrupt):
            save_dataset(small, out)
    if writes == 0 and before == "another data set":
        assert load(out).interactions.equals(load(tmp_path).interactions)
    else:
        message = "no interactions" if writes == 0 else "the import was interrupted"
        for read in (load, read_folder):
            with pytest.raises(DataError, match=message):
                read(out)
    save_dataset(small, out)
    assert load(out).interactions.equals(small.interactions)


def test_files_of_two_imports_are_not_mixed(small: Dataset, tmp_path: Path) -> None:
    write(tmp_path, interactions=GOOD)
    save_dataset(load(tmp_path), tmp_path / "out")
    save_dataset(small, tmp_path / "small")
    (tmp_path / "small" / "items.parquet").rename(tmp_path / "out" / "items.parquet")
    with pytest.raises(CorruptFileError, match="does not belong to the import"):
        load_dataset(tmp_path / "out")


def test_a_report_survives_json() -> None:
    report = ImportReport.from_dict(json.loads(json.dumps(REPORT.to_dict())))
    assert report == REPORT
    assert report.num_bad == 3
    assert str(report.bad_rows[0]) == "f.csv: 3 × user_id is missing (e.g. row 1)"


def test_a_dataset_checks_its_tables(small: Dataset) -> None:
    reversed_rows = small.interactions.take(np.arange(small.interactions.num_rows)[::-1].copy())
    with pytest.raises(DataError, match="not in time order"):
        Dataset("d", reversed_rows, small.items, small.users, small.report)
    with pytest.raises(DataError, match="lacks its int64 column 'item_id'"):
        Dataset("d", small.interactions, small.users, small.users, small.report)
