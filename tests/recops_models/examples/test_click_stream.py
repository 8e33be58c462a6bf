"""Streamed click data: the examples of the files, shuffling, and reports of bad rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from click_parquet import write_click_folder
from recops_models.click.din import Din, DinConfig
from recops_models.data import DataError
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData
from recops_models.examples.open_click import open_click_data

FEATURES = {
    "features": [
        {"name": "item", "type": "categorical"},
        {"name": "brand", "type": "categorical"},
        {"name": "price", "type": "numeric"},
        {"name": "history", "type": "sequence", "max_len": 3, "share_embedding": "item"},
        {"name": "image", "type": "vector", "size": 2},
    ]
}
N = 40


def columns(first: int = 0) -> dict[str, Any]:
    """Return valid rows: user n, item n + 10, and a history of items from 0 to 4."""
    rows = range(first, first + N)
    return {
        "user_id": pa.array(rows, pa.int64()),
        "label": pa.array([row % 2 for row in rows], pa.int8()),
        "item": pa.array([row + 10 for row in rows], pa.int64()),
        "brand": pa.array([None if row % 7 == 0 else f"b{row % 3}" for row in rows]),
        "price": pa.array([None if row % 5 == 0 else float(row) for row in rows]),
        "history": pa.array([list(range(row % 6)) for row in rows], pa.list_(pa.int64())),
        "image": pa.array([[row, 0.5] for row in rows], pa.list_(pa.float32())),
    }


def write(folder: Path, features: Any = FEATURES, **changed: Any) -> Path:
    """Write a click folder with changed training columns; None leaves a column out."""
    (folder / "features.json").write_text(json.dumps(features))
    for part in ("train", "validation", "test"):
        table = columns(100 if part == "test" else 0) | (changed if part == "train" else {})
        table = {name: values for name, values in table.items() if values is not None}
        pa.parquet.write_table(pa.table(table), folder / f"{part}.parquet", row_group_size=16)
    return folder


def one_batch(data: ClickData, part: str = "train") -> Batch:
    return next(getattr(data, part).batches(10_000, seed=None))


def test_batches_have_the_values_of_the_file(tmp_path) -> None:
    data = open_click_data(write(tmp_path))
    batch = one_batch(data)
    assert [data.train.num_examples, len(batch.label)] == [N, N]
    assert batch.features["item"].tolist() == list(range(7, N + 7))
    assert batch.group.tolist() == list(range(N))
    assert batch.label.tolist() == [row % 2 for row in range(N)]
    assert batch.features["brand"][:8].tolist() == [1, 3, 4, 2, 3, 4, 2, 1]
    prices = np.array([row for row in range(N) if row % 5])
    standard = (torch.arange(N) - prices.mean()) / prices.std()
    expected = torch.where(torch.arange(N) % 5 == 0, 0.0, standard).float()
    torch.testing.assert_close(batch.features["price"], expected)
    assert batch.lengths["history"][:6].tolist() == [0, 1, 2, 3, 3, 3]
    assert batch.features["history"][[0, 2, 5]].tolist() == [[0, 0, 0], [2, 3, 0], [4, 5, 6]]
    assert batch.features["image"][3].tolist() == [3.0, 0.5]
    test = one_batch(data, "test")
    assert (test.features["item"] == 1).all(), "items without training events"


def test_histories_of_different_lengths_are_streamed(tmp_path) -> None:
    sequences = [
        {"name": "click_sign", "type": "sequence", "history": "clicks", "max_len": 3},
        {"name": "cart", "type": "sequence", "share_embedding": "item", "history": "carts"},
    ]
    clicks = FEATURES["features"][3] | {"history": "clicks"}
    features = {"features": [*FEATURES["features"][:3], clicks, *sequences]}
    signs = [[row % 2] * (row % 6) for row in range(N)]
    signs[4] = [1]  # This row has four clicks.
    more = {
        "click_sign": pa.array(signs, pa.list_(pa.int64())),
        "cart": pa.array([[row % 4] * (row % 2) for row in range(N)], pa.list_(pa.int64())),
    }
    write(tmp_path, features, **more)
    for part in ("validation", "test"):
        table = pa.table(columns() | more).filter(pa.array(np.arange(N) != 4))
        pa.parquet.write_table(table, tmp_path / f"{part}.parquet")
    data = open_click_data(tmp_path)
    assert len(data.notes) == 1
    assert "click_sign differs in length from history (e.g. row 5: [1])" in data.notes[0]
    batch = one_batch(data)
    assert batch.lengths["history"].max() == batch.lengths["click_sign"].max() == 3
    assert batch.lengths["cart"].max() == 1
    model = Din(data.fitted, DinConfig(width=4))
    assert [history.name for history in model.embedding.separate_histories] == ["clicks", "carts"]
    assert model(batch).isfinite().all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("click")
    write_click_folder(folder, megabytes=3, users=500, items=2000, piece=2048)
    return folder


@pytest.fixture(scope="module")
def data(folder) -> ClickData:
    return open_click_data(folder, buffer_bytes=1 << 20)


def keys(batches: list[Batch]) -> torch.Tensor:
    """Return one unique number per example: its price."""
    return torch.cat([batch.features["price"] for batch in batches])


def test_every_epoch_has_all_rows_in_its_own_order(data) -> None:
    rows = data.train.num_examples
    passes = {}
    for epoch in (0, 1):
        passes[epoch] = list(data.train.batches(1000, seed=0, epoch=epoch))
        sizes = [len(batch.label) for batch in passes[epoch]]
        assert sizes == [1000] * (rows // 1000) + [rows % 1000]
    alone = keys(list(data.train.batches(1000, seed=None)))
    assert torch.equal(keys(passes[0]).sort().values, alone.sort().values)
    assert torch.equal(keys(passes[1]).sort().values, alone.sort().values)
    assert not torch.equal(keys(passes[0]), keys(passes[1]))
    padded = sum(batch.features["history_item"].numel() for batch in passes[0])
    events = sum(int(batch.lengths["history_item"].sum()) for batch in passes[0])
    assert events / padded > 0.85


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("skip", [0, 20])
def test_batches_depend_on_neither_workers_nor_skipping(data, workers: int, skip: int) -> None:
    alone = list(data.train.batches(1000, seed=1))[skip:]
    helped = list(data.train.batches(1000, seed=1, skip=skip, workers=workers))
    assert len(alone) == len(helped)
    for one, other in zip(alone, helped, strict=True):
        for name, values in one.features.items():
            assert torch.equal(values, other.features[name])
        assert torch.equal(one.group, other.group)


def test_given_vocabularies_are_kept(folder, data) -> None:
    again = open_click_data(folder, fitted=data.fitted)
    assert again.fitted is data.fitted
    assert again.train.num_examples == data.train.num_examples


BAD = {
    "label is missing": {"label": [None, 1.0]},
    "label is not a number": {"label": [float("nan"), 1.0]},
    "label is negative": {"label": [-1, 1]},
    "label is neither 0 nor 1": {"label": [2, 1]},
    "user_id is missing": {"user_id": [None, 1]},
    "price is infinite": {"price": [float("inf"), 1.0]},
    "history is null": {"history": [None, [1]]},
    "history has a null that is not post-padding": {"history": [[None, 1], [1, None]]},
    "image does not have 2 numbers": {"image": [[1.0], [1.0, 2.0]]},
    "image is null": {"image": [None, [1.0, 2.0]]},
    "image is not finite": {"image": [[1.0, float("nan")], [1.0, 2.0]]},
}


@pytest.mark.parametrize("reason", BAD)
def test_bad_rows_are_counted_and_named(tmp_path, reason: str) -> None:
    ((name, (bad, good)),) = BAD[reason].items()
    changed = {name: pa.array([bad] + [good] * (N - 3) + [bad, bad])}
    data = open_click_data(write(tmp_path, **changed))
    assert data.train.num_examples == N - 3
    assert len(one_batch(data).label) == N - 3
    (note,) = data.notes
    assert note.startswith(f"train.parquet: 3 × {reason} (e.g. row 1: ")
    rows = data.fitted.lookup("item").rows(np.arange(10, N + 10))
    assert np.flatnonzero(rows == 1).tolist() == [0, N - 2, N - 1], "bad rows are not fitted"


def test_padding_is_left_out(tmp_path) -> None:
    for padding, row in (("post", [7, 8, None]), ("pre", [None, 7, 8])):
        features = json.loads(json.dumps(FEATURES))
        features["features"][3]["padding"] = padding
        lists = pa.array([row] * N, pa.list_(pa.int64(), 3))
        batch = one_batch(open_click_data(write(tmp_path, features, history=lists)))
        assert (batch.features["history"] == torch.tensor([2, 3])).all()
        assert (batch.lengths["history"] == 2).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"item": None}, r"train.parquet: no column 'item' \(columns: user_id, label, brand"),
        ({"label": None}, "train.parquet: no column 'label'"),
        ({"item": pa.array(np.ones(N))}, "'item' must hold integers or strings, got double"),
        ({"history": pa.array([1] * N)}, "'history' must hold lists of integers or strings, got"),
        ({"label": pa.array(["1"] * N)}, "'label' must hold numbers, got string"),
        (
            {"user_id": pa.array(["1"] * N)},
            "'user_id' must hold integers, got string; it is the group of features.json",
        ),
        ({"user_id": None}, r"no column 'user_id' \(.*\); it is the group of features.json"),
        ({"item": pa.array(["1"] * N)}, "the table of 'item' holds both integers and str"),
        ({"item": pa.array([2**63] * N, pa.uint64())}, "column 'item': an id is 2\\^63 or more"),
        ({"label": pa.array([-1] * N)}, "no valid row is left .train.parquet: 40 × label is neg"),
    ],
)
def test_unsuitable_columns_are_named(tmp_path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_click_data(write(tmp_path, **changed))


def test_damaged_and_missing_files_are_named(tmp_path) -> None:
    write(tmp_path)
    train = tmp_path / "train.parquet"
    content = train.read_bytes()
    train.write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"train.parquet: not readable as Parquet"):
        open_click_data(tmp_path)
    train.write_bytes(content[:4] + bytes(2000) + content[2004:])
    with pytest.raises(DataError, match=r"train.parquet: damaged"):
        open_click_data(tmp_path)
    train.unlink()
    with pytest.raises(DataError, match=r"train.parquet: no such file"):
        open_click_data(tmp_path)
    (tmp_path / "features.json").write_text("{")
    with pytest.raises(DataError, match=r"features.json: Expecting property name"):
        open_click_data(tmp_path)


def test_a_file_without_rows_is_refused(tmp_path) -> None:
    write(tmp_path)
    table = pa.parquet.ParquetFile(tmp_path / "train.parquet").read()
    pa.parquet.write_table(table.slice(0, 0), tmp_path / "validation.parquet")
    with pytest.raises(
        DataError, match=r"validation.parquet: no valid row is left .the file is em"
    ):
        open_click_data(tmp_path)
