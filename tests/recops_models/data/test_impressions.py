"""Log of impressions: complete files, checked when they are read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet
import pytest

from recops.files import SEAL, CorruptFileError, write_sealed
from recops_models.data import DataError
from recops_models.data.impressions import (
    check_log,
    impressions_of,
    read_impressions,
    write_impressions,
)


def lists(users: list[object], propensity: float = 0.5) -> pa.Table:
    """Return lists of two items."""
    count = len(users)
    return pa.table(
        {
            "user": [user for user in users for _ in range(2)],
            "place": [1, 2] * count,
            "item": [10, 11] * count,
            "score": pa.array([0.75, 0.5] * count, pa.float32()),
            "propensity": [propensity, 1.0] * count,
        }
    )


def write(folder: Path, users: list[object], timestamp: float) -> Path:
    table = impressions_of(lists(users), model="din@1", policy="epsilon=0.5", timestamp=timestamp)
    return write_impressions(folder, table)


def test_calls_are_read_in_time_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, [3], 200.7)
    first = write(log, [7, 3], 100)
    table = read_impressions(log)
    assert table["timestamp"].to_pylist() == [100] * 4 + [200] * 2
    assert table["user_id"].to_pylist() == [7, 7, 3, 3, 3, 3]
    assert table["position"].to_pylist() == [1, 2] * 3
    assert table["propensity"].to_pylist() == [0.5, 1.0] * 3
    assert table["request"].combine_chunks().dictionary_encode().indices.to_pylist() == [
        *(0, 0, 1, 1, 2, 2)
    ]
    assert table["model"].unique().to_pylist() == ["din@1"]
    assert read_impressions(first).num_rows == 4
    write(log, ["x"], 300)
    assert read_impressions(log)["user_id"].to_pylist() == ["7", "7", "3", "3", "3", "3", "x", "x"]


def test_an_interrupted_call_leaves_no_impression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    write(log, [3], 100)

    def full_disk(descriptor: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write(log, [4], 200)
    monkeypatch.undo()
    assert len(list(log.iterdir())) == 1
    (log / ".impressions-2.parquet.12345678.tmp").write_bytes(b"half")  # Of a killed process.
    assert read_impressions(log)["user_id"].to_pylist() == [3, 3]


def test_damage_is_found(tmp_path: Path) -> None:
    file = write(tmp_path / "log", [3], 100)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptFileError, match="damaged"):
        read_impressions(tmp_path / "log")
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptFileError, match="truncated"):
        read_impressions(tmp_path / "log")


def sealed(path: Path, **metadata: str) -> Path:
    """Write a sealed Parquet file with the given metadata."""
    sink = pa.BufferOutputStream()
    table = pa.table({"user_id": [1]}).replace_schema_metadata({**metadata, "recops": SEAL})
    pa.parquet.write_table(table, sink)
    write_sealed(path, sink.getvalue().to_pybytes())
    return path


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "holds no impressions"),
        ({"recops.format": "?"}, "holds no impressions"),
        (
            {"recops.format": json.dumps({"kind": "impressions", "version": 2})},
            "impressions format 2, but this version reads impressions up to 1",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, metadata: dict[str, str], message: str) -> None:
    with pytest.raises(CorruptFileError, match=message):
        read_impressions(sealed(tmp_path / "impressions-1.parquet", **metadata))


def test_a_log_without_impressions_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="no impressions; `recops recommend --log"):
            read_impressions(folder)


@pytest.mark.parametrize("propensity", [0.0, -0.5, 1.5, float("nan")])
def test_impossible_propensities_are_refused(propensity: float) -> None:
    with pytest.raises(ValueError, match=r"each propensity must be in \(0, 1\]"):
        impressions_of(lists([3], propensity), model="din", policy="none")


def test_a_log_that_cannot_be_written_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="log: must be a folder, got the file"):
        check_log(tmp_path / "file")
    with pytest.raises(ValueError, match="missing must be a folder that can be written"):
        check_log(tmp_path / "missing" / "log")
