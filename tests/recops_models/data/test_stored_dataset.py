"""Data sets whose interactions stay in their file."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recops_models.data import Dataset, ImportReport, dataset, load, save_dataset, storage
from recops_models.data import stored_dataset as stored
from recops_models.data.digest import dataset_digest
from recops_models.data.splits import PARTS, Split, global_time, named_split


def events(rows: int = 300, **columns: object) -> Dataset:
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "user_id": rng.integers(0, 9, rows),
            "item_id": rng.integers(0, 5, rows),
            "timestamp": np.sort(rng.integers(0, 60, rows)),
            "label": rng.integers(0, 2, rows).astype(np.float32),
            **columns,
        }
    )
    users, items = pa.table({"user_id": range(9)}), pa.table({"item_id": range(5)})
    return Dataset("shop", table, items, users, ImportReport("shop"))


def is_loaded(data: Dataset) -> bool:
    return "interactions" in vars(data)


@pytest.fixture(params=[64, 128, 1000])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows per block of event_blocks."""
    for module in (dataset, stored):
        monkeypatch.setattr(module, "BLOCK", request.param)
    return int(request.param)


@pytest.mark.parametrize("row_group", [50, 64, 1000])
def test_blocks_are_those_of_the_table(
    row_group: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "BLOCK", row_group)
    original = events()
    save_dataset(original, tmp_path)
    data = load(tmp_path)
    for columns in (None, ["label", "user_id"]):
        blocks, expected = (list(each.event_blocks(columns)) for each in (data, original))
        assert [len(each) for each in blocks] == [len(each) for each in expected]
        assert pa.concat_tables(blocks).equals(pa.concat_tables(expected))
    assert data.event_schema == original.event_schema
    assert data.num_events == 300
    assert data.event_values("label").tolist() == original.event_values("label").tolist()
    assert dataset_digest(data) == dataset_digest(original)
    assert not is_loaded(data)
    assert data.interactions.equals(original.interactions)
    assert is_loaded(data)
    assert pa.concat_tables(list(data.event_blocks())).equals(original.interactions)


@pytest.mark.parametrize("kind", ["dictionary", "list", "null"])
def test_blocks_of_other_columns(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [None if kind == "null" and number % 3 else f"t{number % 7}" for number in range(300)]
    column = pa.array([[text] for text in texts] if kind == "list" else texts)
    if kind == "dictionary":
        column = column.dictionary_encode()
    monkeypatch.setattr(storage, "BLOCK", 64)
    original = events(domain=column)
    save_dataset(original, tmp_path)
    data = load(tmp_path)
    assert pa.concat_tables(list(data.event_blocks())).equals(original.interactions)
    digest = dataset_digest(data)
    assert data.interactions.equals(original.interactions)
    assert digest == dataset_digest(data)


def test_no_events(tmp_path: Path) -> None:
    save_dataset(events(0), tmp_path)
    data = load(tmp_path)
    assert list(data.event_blocks()) == []
    assert data.event_values("timestamp").dtype == np.int64
    assert data.interactions.num_rows == 0


def test_a_later_import_does_not_change_a_loaded_data_set(tmp_path: Path) -> None:
    original = events()
    save_dataset(original, tmp_path)
    data = load(tmp_path)
    save_dataset(events(50), tmp_path)
    assert data.interactions.equals(original.interactions)


def test_a_copy_has_the_table(tmp_path: Path) -> None:
    save_dataset(events(), tmp_path)
    for copied in (pickle.loads(pickle.dumps(load(tmp_path))), copy.deepcopy(load(tmp_path))):
        assert copied == events()


def test_a_time_split_reads_tables_when_they_are_used(tmp_path: Path) -> None:
    save_dataset(events(), tmp_path)
    data = load(tmp_path)
    split = global_time(data)
    sizes = [split.num_events(part) for part in ("context", *PARTS)]
    assert sum(sizes) == 300
    ordered = pa.concat_tables(list(split.event_blocks(["timestamp"])))
    assert not is_loaded(data)
    assert ordered.equals(data.interactions.select(["timestamp"]))

    part = np.repeat([3, 0, 1, 2], sizes)
    expected = Split.of(data, part)
    for name in ("context", *PARTS):
        assert getattr(split, name).equals(getattr(expected, name))
        assert split.num_events(name) == expected.num_events(name)


def test_blocks_of_another_split_are_in_the_order_of_its_parts() -> None:
    _, split = named_split(events(), "by-user")
    blocks = pa.concat_tables(list(split.event_blocks(["timestamp", "user_id"])))
    tables = [getattr(split, part) for part in ("context", *PARTS)]
    assert blocks.equals(pa.concat_tables(tables).select(["timestamp", "user_id"]))
    assert not split.is_in_order
