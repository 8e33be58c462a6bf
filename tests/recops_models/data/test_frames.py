"""Frames of several libraries are read and returned alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from recops_models.data import DataError, Dataset, load_dataset, save_dataset
from recops_models.data.frames import from_arrow, is_frame, library_of, to_arrow

LIBRARIES = ("pyarrow", "dict", "pandas", "polars", "duckdb")
COLUMNS = {"user_id": "uid", "item_id": "sku", "timestamp": "ts"}
LOG: dict[str, list[Any]] = {
    "uid": ["ann", "bob", "ann", "bob", "ann"],
    "sku": [7, 7, 9, 8, 8],
    "ts": [30, 10, 20, 40, 50],
    "device": ["app", "web", "app", "web", "app"],
}


def frame_of(library: str, columns: dict[str, list[Any]]) -> Any:
    if library not in ("dict", "pyarrow"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    return from_arrow(pa.table(columns), library)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_frame_survives_the_way_to_arrow_and_back(library: str) -> None:
    frame = frame_of(library, LOG)
    assert is_frame(frame)
    assert library_of(frame) == library
    table = to_arrow(frame, "frame")
    assert table.to_pydict() == LOG
    assert type(from_arrow(table, library)) is type(frame)


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_library_gives_the_same_data_set(library: str) -> None:
    items = frame_of(library, {"sku": [9, 8, 7], "brand": ["x", "y", "x"]})
    data = Dataset.from_frames(frame_of(library, LOG), items, columns=COLUMNS)
    assert data.library == library
    assert data.user_keys == ["ann", "bob"]
    assert data.item_keys == [7, 8, 9]
    assert data.interactions["timestamp"].to_pylist() == [10, 20, 30, 40, 50]
    assert data.interactions["item_id"].to_pylist() == [7, 9, 7, 8, 8]
    assert data.interactions["device"].to_pylist() == ["web", "app", "app", "web", "app"]
    assert data.items["brand"].to_pylist() == ["x", "y", "x"]


def test_the_index_of_a_pandas_frame_is_left_out() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"a": [1, 2]}, index=["x", "y"])
    assert to_arrow(frame, "frame").column_names == ["a"]


def test_categories_of_polars_become_attributes() -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    brands = polars.Series("brand", ["x", "y", "x"], dtype=polars.Categorical)
    items = polars.DataFrame({"sku": [7, 8, 9]}).with_columns(brands)
    data = Dataset.from_frames(LOG, items, columns=COLUMNS)
    assert data.item_columns("attribute") == ["brand"]


def test_arrays_and_tensors_are_columns() -> None:
    table = to_arrow({"a": np.arange(2), "b": torch.arange(2), "c": np.ones((2, 3))}, "frame")
    assert table["b"].to_pylist() == [0, 1]
    assert table["c"].to_pylist() == [[1, 1, 1]] * 2


def test_times_are_read_as_seconds() -> None:
    times = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[ns]")
    data = Dataset.from_frames({"user_id": [1, 1], "item_id": [1, 2], "timestamp": times})
    assert data.interactions["timestamp"].to_pylist() == [1704067200, 1704153600]


def test_library_and_columns_are_stored_with_the_data(tmp_path: Any) -> None:
    data = Dataset.from_frames(frame_of("polars", LOG), columns=COLUMNS)
    save_dataset(data, tmp_path)
    stored = load_dataset(tmp_path)
    assert (stored.library, stored.columns) == ("polars", COLUMNS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"interactions": 5}, r"interactions: must be a table .*, got int"),
        ({"interactions": LOG}, r"interactions: no column 'user_id' \(columns: uid, sku, ts"),
        (
            {"interactions": LOG, "columns": {**COLUMNS, "timestamp": "when"}},
            r"columns: no frame has the column 'when'",
        ),
        (
            {"interactions": {**LOG, "user_id": [1] * 5}, "columns": COLUMNS},
            r"interactions: has both columns 'uid' and 'user_id'; remove one",
        ),
        (
            {"interactions": {name: [] for name in LOG}, "columns": COLUMNS},
            r"data frames: no valid interaction is left \(the file is empty\)",
        ),
        (
            {"interactions": {**LOG, "uid": [["a"]] * 5}, "columns": COLUMNS},
            r"interactions: column 'user_id' must hold numbers or text, got list",
        ),
        (
            {"interactions": {**LOG, "uid": ["a", 1, "b", 2, "c"]}, "columns": COLUMNS},
            r"interactions: cannot be read as a table, .* one type each \(column uid: ",
        ),
        (
            {"interactions": {**LOG, "ts": [1]}, "columns": COLUMNS},
            r"interactions: cannot be read as a table, .* \(",
        ),
    ],
)
def test_bad_frames_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        Dataset.from_frames(**arguments)


def test_mixed_types_in_pandas_are_refused_in_one_line() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({**LOG, "uid": pandas.Series(["a", 1, "b", 2, "c"], dtype=object)})
    with pytest.raises(DataError, match=r"^interactions: cannot be read as a table") as error:
        Dataset.from_frames(frame, columns=COLUMNS)
    assert "uid" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("library", ["dict", "pandas", "polars", "pyarrow", "duckdb"])
def test_ids_keep_their_type(library: str) -> None:
    log = {"uid": [1, 1, 2, 2], "sku": ["7", "10", "7", "9"], "ts": [1, 2, 3, 4]}
    data = Dataset.from_frames(frame_of(library, log), columns=COLUMNS)
    assert (data.user_keys, data.item_keys) == ([1, 2], ["10", "7", "9"])
    categories = {**log, "sku": pa.array(log["sku"]).dictionary_encode()}
    data = Dataset.from_frames(pa.table(categories), columns=COLUMNS)
    assert data.item_keys == ["10", "7", "9"]
