"""A shop's own tables: other names, separators, headers, times, and tables without times."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recops_models import load_data
from recops_models.data import DataError, Dataset, load_dataset, save_dataset
from recops_models.data.table_options import TableOptions

EVENTS = [("ann", "a", 100), ("bob", "a", 200), ("ann", "b", 300)]


def events(data: Dataset) -> list[tuple[Any, ...]]:
    """Return the events with the ids of the source."""
    table = data.interactions
    users = dict(zip(data.user_vocabulary, data.user_keys, strict=True))
    items = dict(zip(data.item_vocabulary, data.item_keys, strict=True))
    return [
        (users[user], items[item], time)
        for user, item, time in zip(
            *(table[name].to_pylist() for name in ("user_id", "item_id", "timestamp")),
            strict=True,
        )
    ]


def text(header: str, separator: str = ",", rows: list[tuple[Any, ...]] = EVENTS) -> str:
    lines = [separator.join(map(str, row)) for row in rows]
    return "\n".join([*([header] if header else []), *lines]) + "\n"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".tsv.gz"])
@pytest.mark.parametrize("is_folder", [True, False])
def test_every_suffix_is_read(suffix: str, is_folder: bool, tmp_path: Path) -> None:
    separator = "\t" if ".tsv" in suffix else ","
    content = text(separator.join(("user_id", "item_id", "timestamp")), separator).encode()
    file = tmp_path / f"interactions{suffix}"
    file.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    data = load_data(tmp_path if is_folder else file)
    assert events(data) == EVENTS
    assert data.name == (tmp_path.name if is_folder else "interactions")


def test_two_suffixes_of_one_table_are_refused(tmp_path: Path) -> None:
    for suffix in (".csv", ".tsv"):
        (tmp_path / f"interactions{suffix}").write_text(text("user_id,item_id,timestamp"))
    with pytest.raises(DataError, match=r"holds interactions\.csv and interactions\.tsv; remove"):
        load_data(tmp_path)


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(text("user_id").encode())[:-9]], ids=["text", "cut"]
)
def test_a_damaged_archive_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "interactions.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"interactions\.csv\.gz: not readable") as error:
        load_data(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_the_separator_is_found(separator: str, tmp_path: Path) -> None:
    header = separator.join(("user_id", "item_id", "timestamp"))
    (tmp_path / "interactions.csv").write_text(text(header, separator))
    assert events(load_data(tmp_path)) == EVENTS


def test_the_separator_can_be_given(tmp_path: Path) -> None:
    header = "user_id:item_id:timestamp"
    (tmp_path / "interactions.csv").write_text(text(header, ":"))
    with pytest.raises(DataError, match=f"no column 'user_id' .columns: {header}"):
        load_data(tmp_path)
    assert events(load_data(tmp_path, separator=":")) == EVENTS


def test_columns_are_renamed_in_every_table_that_has_them(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(text("uid,stock keeping unit,when"))
    (tmp_path / "items.csv").write_text("item_id,price\na,1.5\nb,2.5\n")
    (tmp_path / "users.csv").write_text("uid,age\nann,30.5\nbob,40.5\n")
    names = {"user_id": "uid", "item_id": "stock keeping unit", "timestamp": "when"}
    data = load_data(tmp_path, columns=names)
    assert events(data) == EVENTS
    assert data.items["price"].to_pylist() == [1.5, 2.5]
    assert data.users["age"].to_pylist() == [30.5, 40.5]
    save_dataset(data, tmp_path / "saved")
    assert load_dataset(tmp_path / "saved").columns == names


def test_renamed_ids_are_exact(tmp_path: Path) -> None:
    ids = [2**53 + 1, 2**63 - 1]
    rows = [(ids[0], ids[1], 5), ("", 7, 6)]
    (tmp_path / "interactions.csv").write_text(text("uid,sku,timestamp", rows=rows))
    data = load_data(tmp_path, columns={"user_id": "uid", "item_id": "sku"})
    assert events(data) == [(ids[0], ids[1], 5)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("space", [" ", "\u00a0", "\ufeff", "\u200b"])
def test_an_invisible_character_is_no_part_of_a_name(
    space: str, suffix: str, tmp_path: Path
) -> None:
    names = [f"{space}user_id", f"item_id{space}", f"{space}timestamp{space}"]
    if suffix == ".csv":
        (tmp_path / "interactions.csv").write_text(text(",".join(names)), encoding="utf-8")
    else:
        columns = [list(column) for column in zip(*EVENTS, strict=True)]
        table = pa.table(dict(zip(names, columns, strict=True)))
        pq.write_table(table, tmp_path / "interactions.parquet")
    assert events(load_data(tmp_path)) == EVENTS


@pytest.mark.parametrize(
    ("header", "advice"),
    [
        ("User ID,item_id,timestamp", "name it: --map 'user_id=User ID'"),
        ("uid,item_id,timestamp", "if it has another name: --map user_id=NAME"),
        ("", "for a file without a header line, use --columns"),
    ],
)
def test_the_error_on_a_missing_column_gives_advice(
    header: str, advice: str, tmp_path: Path
) -> None:
    (tmp_path / "interactions.csv").write_text(text(header))
    with pytest.raises(DataError) as error:
        load_data(tmp_path)
    message = str(error.value)
    assert message.startswith("interactions.csv: no column 'user_id' (columns: ")
    assert message.endswith(f"); {advice}")


def test_the_error_on_a_frame_names_the_argument() -> None:
    log = {"User_ID": [1], "item_id": [2], "timestamp": [3]}
    with pytest.raises(DataError, match=r"name it: columns=\{'user_id': 'User_ID'\}$"):
        Dataset.from_frames(log)


def test_a_column_of_the_mapping_must_exist(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(text("user_id,item_id,timestamp"))
    with pytest.raises(DataError, match=r"no file has the column 'sku' \(columns: user_id,"):
        load_data(tmp_path, columns={"item_id": "sku"})


def test_files_without_a_header_need_names(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(text("", rows=[*EVENTS, ("ann", "b")]))
    (tmp_path / "items.csv").write_text("a,1.5\nb,2.5\n")
    header = {"interactions": ["user_id", "item_id", "timestamp"], "items": ["item_id", "price"]}
    data = load_data(tmp_path, header=header)
    assert events(data) == EVENTS
    assert data.items["price"].to_pylist() == [1.5, 2.5]
    assert data.report.bad_rows[0].example == "row 4"
    (tmp_path / "items.csv").unlink()
    assert events(load_data(tmp_path, header=header["interactions"])) == EVENTS


@pytest.mark.parametrize(
    ("unit", "values"),
    [("s", [100, 200, 300]), ("ms", [100_999, 200_000, 300_001]), ("us", [100_999_999, 2e8, 3e8])],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_times_have_a_unit(unit: str, values: list[float], as_text: bool, tmp_path: Path) -> None:
    times = [f"{value:.0f}" if as_text else value for value in values]
    log = {"user_id": ["ann", "bob", "ann"], "item_id": list("aab"), "timestamp": times}
    data = Dataset.from_frames(log, time_unit=unit)
    assert events(data) == EVENTS
    save_dataset(data, tmp_path)
    assert load_dataset(tmp_path).time_format.unit == unit


def test_dates_have_no_unit() -> None:
    log = {"user_id": [1, 1], "item_id": [1, 2], "timestamp": ["1970-01-02", "172800000"]}
    data = Dataset.from_frames(log, time_unit="ms")
    assert data.interactions["timestamp"].to_pylist() == [86_400, 172_800]


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("1970/01/02", 86_400),
        ("1970/1/2 1:05", 90_300),
        ("02.01.1970", 86_400),
        ("2.1.1970 00:00:01", 86_401),
        ("02.01.1970 01:00+01:00", 86_400),
    ],
)
def test_other_dates_are_read(moment: str, seconds: int) -> None:
    data = Dataset.from_frames({"user_id": [1], "item_id": [1], "timestamp": [moment]})
    assert data.interactions["timestamp"].to_pylist() == [seconds]


@pytest.mark.parametrize("moment", ["31.02.1970", "13.13.1970", "01/02/1970", "1970-01-02 24:61"])
def test_impossible_and_ambiguous_dates_are_not_read(moment: str) -> None:
    with pytest.raises(DataError, match="timestamp is neither a number nor a known date"):
        Dataset.from_frames({"user_id": [1], "item_id": [1], "timestamp": [moment]})


@pytest.mark.parametrize(
    ("pattern", "moments"),
    [
        ("%d/%m/%Y %I:%M %p", ["02/01/1970 12:00 AM", "03/01/1970 01:00 PM"]),
        ("%b %d, %Y %H", ["Jan 02, 1970 00", "Jan 03, 1970 13"]),
        ("%Y%m%d%H", [1970010200, 1970010313]),
        ("%Y-%m-%dT%H:%M:%S.%f%z", ["1970-01-02T02:00:00.5+0200", "1970-01-03T13:00:00.9+0000"]),
    ],
)
def test_times_have_a_format(pattern: str, moments: list[Any]) -> None:
    log = {"user_id": [1, 1], "item_id": [1, 2], "timestamp": moments}
    data = Dataset.from_frames(log, time_format=pattern)
    assert data.interactions["timestamp"].to_pylist() == [86_400, 219_600]


def test_times_of_another_format_are_bad_rows() -> None:
    log = {"user_id": [1, 1, 1], "item_id": [1, 2, 3], "timestamp": ["02/01/1970", "1970", None]}
    data = Dataset.from_frames(log, time_format="%d/%m/%Y")
    assert {bad.reason: bad.count for bad in data.report.bad_rows} == {
        "timestamp is not a time of the format '%d/%m/%Y'": 1,
        "timestamp is missing": 1,
    }


def test_requests_have_the_times_of_the_data() -> None:
    """The history of a request counts in the order of its times, in the unit of the data."""
    from recops_models import train

    log = {"user_id": [1, 1, 1, 2, 2, 2], "item_id": [1, 2, 3, 2, 3, 1]}
    data = Dataset.from_frames(log | {"timestamp": [10**15 + i for i in range(6)]}, time_unit="us")
    model = train("popularity", data)
    history = {"user_id": [9, 9], "item_id": [3, 2], "timestamp": [10**15 + 1, 10**15]}
    assert model.recommend(histories=history, k=1)["item_id"].tolist() == [1]


@pytest.mark.parametrize(
    ("yes", "no"), [("true", "false"), ("TRUE", "FALSE"), ("True", "False"), ("true", "0")]
)
def test_booleans_in_text_are_numbers(yes: str, no: str, tmp_path: Path) -> None:
    rows = f"user_id,item_id,timestamp,label\n1,1,1,{yes}\n1,2,2,{no}\n"
    (tmp_path / "interactions.csv").write_text(rows)
    data = load_data(tmp_path)
    assert data.interactions["label"].to_pylist() == [1.0, 0.0]
    assert data.report.num_bad == 0


def test_rows_without_times_are_in_order(tmp_path: Path) -> None:
    rows = [("ann", "b"), ("bob", "a"), ("ann", "a"), ("ann", "b"), ("", "a"), ("bob", "b")]
    (tmp_path / "interactions.csv").write_text(text("user_id,item_id", rows=rows))
    data = load_data(tmp_path)
    assert data.time == "order"
    # Equal rows are repeated events. Positions count a user's valid rows.
    assert events(data) == [
        ("ann", "b", 0),
        ("bob", "a", 0),
        ("ann", "a", 1),
        ("bob", "b", 1),
        ("ann", "b", 2),
    ]
    assert data.report.notes[0] == (
        "interactions.csv: no times: events are in the order of the rows"
    )


def test_times_can_be_ignored() -> None:
    log = {"user_id": [1, 1, 1], "item_id": [3, 2, 1], "timestamp": [30, 20, 10]}
    data = Dataset.from_frames(log, time_unit="order")
    assert data.interactions["item_id"].to_pylist() == [3, 2, 1]
    assert data.time == "order"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ts", [1_700_000_000, 1_700_000_001]),
        ("created at", [1.7e12, 1.8e12]),
        ("day", ["2026-01-31", "2026-02-01"]),
        ("moment", pa.array([0, 1], pa.timestamp("ms"))),
    ],
)
def test_a_likely_column_of_times_is_not_ignored(name: str, values: Any) -> None:
    log = {"user_id": [1, 1], "item_id": [1, 2], name: values}
    with pytest.raises(DataError, match=rf"but '{name}' looks like times: name it \(columns="):
        Dataset.from_frames(log)
    assert Dataset.from_frames(log, time_unit="order").time == "order"


@pytest.mark.parametrize(
    ("name", "values"),
    [("dwell_time", [3, 500]), ("phone", [1_700_000_000, 1_700_000_001]), ("ts", [None, None])],
)
def test_other_columns_are_no_times(name: str, values: list[Any]) -> None:
    log = {"user_id": [1, 1], "item_id": [1, 2], name: values}
    assert Dataset.from_frames(log).time == "order"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ";;"}, "separator must be one ASCII character, got ';;'"),
        ({"separator": "§"}, "separator must be one ASCII character, got '§'"),
        ({"header": {"item": ["a"]}}, "header must name interactions, items, users, got 'item'"),
        ({"time_unit": "ns"}, "time_unit must be s, ms, us or order, got 'ns'"),
        ({"time_format": "%Q"}, "time_format: 'Q' is a bad directive in format '%Q'"),
        (
            {"time_unit": "order", "time_format": "%d"},
            "time_format has no effect with time_unit order",
        ),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TableOptions(**options)


def test_options_apply_to_own_files_only(tmp_path: Path) -> None:
    save_dataset(Dataset.from_frames({"user_id": [1], "item_id": [2]}), tmp_path)
    for name in (tmp_path, "ml-100k"):
        with pytest.raises(DataError, match="is imported already; options apply to own files"):
            load_data(name, time_unit="ms")
