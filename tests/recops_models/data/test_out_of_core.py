"""Import in bounded memory: the bits of the import in memory, for any size of blocks."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peak_memory import COMMAND, peak_bytes, reads_proc
from recops_models.cli import run
from recops_models.data import DataError, load_dataset, save_dataset
from recops_models.data.importers.text_files import read_delimited
from recops_models.data.out_of_core import (
    distinct_text,
    importer,
    interactions,
    partitions,
    sorted_runs,
    text_index,
)
from recops_models.data.out_of_core.distinct_text import DistinctText
from recops_models.data.out_of_core.importer import import_folder
from recops_models.data.out_of_core.text_index import TextIndex
from recops_models.data.out_of_core.text_table import TextTable
from recops_models.data.sets import IMPORTERS
from recops_models.data.table_options import TableOptions

FILES = ("interactions.parquet", "items.parquet", "users.parquet", "dataset.json")


@pytest.fixture(params=["small", "default"])
def block_sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide even small tables into many blocks, runs and partitions."""
    if request.param == "default":
        return
    for module, name, value in (
        (interactions, "_ROWS", 37),
        (interactions, "_HEAD", 50),
        (partitions, "_ROWS", 60),
        (sorted_runs, "_RUN", 90),
        (sorted_runs, "_BLOCK", 11),
        (distinct_text, "_BLOCK", 5),
        (text_index, "_ROWS", 8),
        (importer, "_BLOCK", 7),
    ):
        monkeypatch.setattr(module, name, value)
    default = DistinctText.__init__
    monkeypatch.setattr(
        DistinctText, "__init__", lambda self, path: default(self, path, buffer_bytes=200)
    )
    text = TextTable.__init__
    monkeypatch.setattr(
        TextTable, "__init__", lambda self, *a, **k: text(self, *a, **k, block_bytes=301)
    )


def raw_events(seed: int, rows: int = 400) -> dict[str, list[Any]]:
    """Return events in random order, with every kind of bad row and with repeated rows."""
    rng = np.random.default_rng(seed)
    users = [f"u{n}é" for n in rng.integers(0, 40, rows)]
    items = [str(n) for n in rng.integers(0, 30, rows)]
    times = [str(n) for n in rng.integers(0, 300, rows)]
    rating = [str(round(float(x), 2)) for x in rng.random(rows)]
    for row in rng.integers(0, rows, 12):
        users[row] = ""
    for row, bad in zip(rng.integers(0, rows, 12), ["x", "-3", "9" * 19, ""] * 3, strict=True):
        items[row] = bad
    for row, bad in zip(rng.integers(0, rows, 9), ["soon", "", "2020-01-31"] * 3, strict=True):
        times[row] = bad
    for row, bad in zip(rng.integers(0, rows, 9), ["inf", "1e60", "-"] * 3, strict=True):
        rating[row] = bad
    columns = {"user_id": users, "item_id": items, "timestamp": times, "rating": rating}
    columns["device"] = [("web", "app", "")[n] for n in rng.integers(0, 3, rows)]
    columns["comment"] = [f"text {n}" for n in rng.integers(0, 10**6, rows)]
    columns["price"] = [str(n) for n in rng.integers(0, 9, rows)]
    columns["scene"] = [f"s{n}" for n in rng.integers(0, 2, rows)]
    for row in rng.integers(0, rows // 2, 60):  # Repeated rows, also within one block.
        for values in columns.values():
            values[-1 - row] = values[row]
    return columns


def csv_text(columns: dict[str, list[Any]], seed: int = 0) -> str:
    """Return the columns as CSV with quotes, line breaks in quotes and malformed rows."""
    rng = np.random.default_rng(seed)
    lines = [",".join(columns)]
    for row in zip(*columns.values(), strict=True):
        fields = [f'"{field}"' if rng.random() < 0.2 else str(field) for field in row]
        if rng.random() < 0.1 and "comment" in columns:
            fields[list(columns).index("comment")] = '"say ""yes"",\nor ""no"""'
        lines.append(",".join(fields))
        if rng.random() < 0.05:
            lines.append("too,few")
    return "\n".join(lines) + "\n"


def stored(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def compare(source: Path, work: Path, **options: Any) -> dict[str, Any]:
    """Import in both ways, require the same bytes, and return the content of ``dataset.json``."""
    for name in ("memory", "stream"):
        (work / name).mkdir(parents=True)
    save_dataset(IMPORTERS["csv"](source, **options), work / "memory", options={"a": 1})
    result = import_folder(source, work / "stream", record={"a": 1}, **options)
    content = json.loads((work / "stream" / "dataset.json").read_text())
    assert content == json.loads((work / "memory" / "dataset.json").read_text())
    assert stored(work / "stream") == stored(work / "memory")
    assert sorted(path.name for path in (work / "stream").iterdir()) == sorted(FILES)
    dataset = load_dataset(work / "stream")
    assert (result.users, result.items) == (dataset.users.num_rows, dataset.items.num_rows)
    assert (result.interactions, result.name) == (dataset.interactions.num_rows, dataset.name)
    return content


@pytest.mark.slow
@pytest.mark.usefixtures("block_sizes")
@pytest.mark.parametrize("ids", ["auto", "string"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_the_bits_are_those_of_the_import_in_memory(ids: str, suffix: str, tmp_path: Path) -> None:
    source = tmp_path / "shop"
    source.mkdir()
    columns = raw_events(seed=1)
    if suffix == ".parquet":
        tags = pa.array(
            [
                [device, price]
                for device, price in zip(columns["device"], columns["price"], strict=True)
            ]
        )
        table = pa.table({**columns, "tags": tags})
        pq.write_table(table, source / "interactions.parquet", row_group_size=123)
    else:
        content = csv_text(columns).encode()
        content = gzip.compress(content) if suffix == ".csv.gz" else content
        (source / f"interactions{suffix}").write_bytes(content)
    content = compare(source, tmp_path / "first", ids=ids)
    reasons = [bad["reason"] for bad in content["report"]["bad_rows"]]
    assert "exact repetition of an earlier row" in reasons
    assert any("sorted" in note for note in content["report"]["notes"])
    assert any("not used: comment" in note for note in content["report"]["notes"])

    (source / "items.csv").write_text(
        "item_id,brand,score\n" + "".join(f"{n},b{n % 3},{n}\n" for n in (*range(25), 3, 99))
    )
    (source / "users.csv").write_text("user_id,age_id\nu1é,3\nu5é,4\nnew,5\n")
    compare(source, tmp_path / "second", ids=ids)


@pytest.mark.usefixtures("block_sizes")
def test_integer_ids_without_times_keep_the_order_of_the_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    table = pa.table(
        {
            "uid": pa.array(rng.integers(-1, 20, 300), pa.int32()),
            "sku": pa.array([None if n == 5 else int(n) for n in rng.integers(0, 9, 300)]),
            "label": rng.integers(0, 2, 300),
            "place": pa.array([("a", "b")[n] for n in rng.integers(0, 2, 300)]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    options = TableOptions(columns={"user_id": "uid", "item_id": "sku"}, time_unit="order")
    content = compare(tmp_path / "log.parquet", tmp_path / "out", options=options)
    assert content["time"] == "order"
    assert content["report"]["bad_rows"][0]["reason"] == "user_id is negative"


@pytest.mark.usefixtures("block_sizes")
def test_sorted_rows_are_not_sorted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "sorted_events", None)
    ids = np.arange(500)
    table = pa.table({"user_id": ids % 7, "item_id": ids % 11, "timestamp": ids // 3})
    pq.write_table(table, tmp_path / "log.parquet")
    compare(tmp_path / "log.parquet", tmp_path / "out")


@pytest.mark.usefixtures("block_sizes")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user_id,item_id,timestamp\n", "no valid interaction is left (the file is empty)"),
        ("user_id,item_id,timestamp\n,1,1\n", "no valid interaction is left (interactions.csv: 1"),
        ("user_id,item_id\n1,1\n", None),
        ("user_id,sku,timestamp\n1,1,1\n", "no column 'item_id'"),
        ("user_id,item_id,user_id\n1,1,1\n", "column names must be unique"),
        ("", "not readable as delimited text"),
    ],
)
def test_unusable_tables_are_refused(content: str, message: str | None, tmp_path: Path) -> None:
    source, out = tmp_path / "shop", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    (source / "interactions.csv").write_text(content)
    if message is None:
        import_folder(source, out)
        return
    with pytest.raises(DataError) as raised:
        import_folder(source, out)
    assert message in str(raised.value)
    with pytest.raises(DataError) as in_memory:
        IMPORTERS["csv"](source)
    assert str(raised.value) == str(in_memory.value)
    assert list(out.iterdir()) == []


def test_types_of_text_columns_are_those_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    columns = {
        "a": ["1"] * 50 + ["2.5"],
        "b": ["1"] * 50 + ["true"],
        "c": [""] * 50 + ["7"],
        "d": ["1"] * 50 + ["x"],
        "e": ["true"] * 50 + ["1"],
        "f": ["2020-01-01"] * 50 + ["2"],
        "g": [""] * 51,
    }
    lines = [",".join(columns), *map(",".join, zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines))
    blocks = TextTable(path, delimiter=None, header=None, text=(), block_bytes=100)
    expected = read_delimited(path, delimiter=",").table
    assert blocks.schema.types == expected.schema.types
    assert pa.concat_tables([raw.table for raw in blocks.blocks()]).equals(expected)


def test_a_text_index_finds_every_string(tmp_path: Path) -> None:
    strings = [f"{n % 700:x}" * (1 + n % 5) for n in range(3000)] + ["ünïcode", "\U0001f600", "a\0"]
    collector = DistinctText(tmp_path / "t", buffer_bytes=1000)
    for start in range(0, len(strings), 100):
        collector.add(pa.chunked_array([strings[start : start + 100]]))
    vocabulary = collector.finish()
    expected = sorted(set(strings), key=str.encode)
    assert pa.concat_arrays(list(vocabulary.blocks())).to_pylist() == expected
    assert len(vocabulary) == len(expected)
    index = TextIndex(vocabulary)
    query = pa.chunked_array([strings[5:900], [], strings[::-1]])
    positions = index.find(query)
    assert [expected[row] for row in positions] == query.to_pylist()


def test_colliding_hashes_are_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def factors(seed: int, count: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.integers(2**64, size=count, dtype=np.uint64) * np.uint64(seed >= 3)

    monkeypatch.setattr(text_index, "_factors", factors)
    collector = DistinctText(tmp_path / "t")
    collector.add(pa.chunked_array([["a", "b", "c"]]))
    assert TextIndex(collector.finish()).find(pa.chunked_array([["c", "a"]])).tolist() == [2, 0]


def test_the_command_imports_and_replaces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "shop", tmp_path / "out"
    source.mkdir()
    (source / "interactions.csv").write_text(
        "user_id,item_id,timestamp\nann,3,9\nbob,4,8\nann,,1\n"
    )
    assert run(["data", "import", "csv", str(source), "--out", str(out)]) == 0
    (out / ".import-left").mkdir()
    (out / ".import-left" / "valid").write_bytes(b"x")
    assert run(["data", "import", "csv", str(source), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    output = capsys.readouterr().out
    assert "shop: 2 users, 2 items, 2 interactions" in output
    assert "left out: interactions.csv: 1 × item_id is missing (e.g. row 3: item_id=None)" in output


def peak_megabytes(folder: Path, rows: int) -> float:
    """Return the peak memory, in MB, of an import of ``rows`` events in random order."""
    rng = np.random.default_rng(rows)
    source = folder / f"{rows}.parquet"
    columns = {
        "user_id": pa.array(rng.integers(0, 50_000, rows)).cast(pa.string()),
        "item_id": rng.integers(0, 20_000, rows),
        "timestamp": rng.integers(0, 10**9, rows),
        "price": rng.random(rows),
    }
    pq.write_table(pa.table(columns), source)
    command = ["data", "import", "csv", str(source), "--ids", "string", "--out", f"{folder}/{rows}"]
    return peak_bytes(COMMAND, *command) / 2**20


@pytest.mark.slow
@reads_proc
def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path,
) -> None:
    small, large = peak_megabytes(tmp_path, 2_200_000), peak_megabytes(tmp_path, 5_000_000)
    print(f"peak memory: {large:.0f} MB for 5,000,000 rows, {small:.0f} MB for 2,200,000")
    assert large < 1000
    # In memory, the raw and parsed columns of the further rows would take 400 MB.
    assert large - small < 150
