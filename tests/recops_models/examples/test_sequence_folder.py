"""Folders of sequences: the histories of the files, the catalogue, and reports of bad rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from recops_models.data import DataError
from recops_models.examples import sequence_file
from recops_models.examples.sequence_folder import open_sequence_folder
from recops_models.examples.sequence_source import SequenceSource

TRAIN = [["a", "b", "c"], ["d"], ["b", "x", "a"], ["a", "c"]]
HELD_OUT = [["a", "b", "d"], ["c", "a"]]


def write(
    folder: Path,
    *,
    train: Any = TRAIN,
    held_out: Any = HELD_OUT,
    users: Any = None,
    items: Any = "abcd",
    options: Any = None,
    names: tuple[str, str] = ("user_id", "item_id"),
) -> Path:
    """Write a folder of sequences with row groups of 2 rows; without ``items`` if they are None."""
    (folder / "sequences.json").write_text(json.dumps(options or {}))
    for part in ("train", "validation", "test"):
        rows = train if part == "train" else held_out
        user = users if part == "train" and users else [f"u{row}" for row in range(len(rows))]
        table = pa.table(dict(zip(names, (user, rows), strict=True)))
        pa.parquet.write_table(table, folder / f"{part}.parquet", row_group_size=2)
    if items is not None:
        pa.parquet.write_table(pa.table({"item_id": list(items)}), folder / "items.parquet")
    return folder


def histories(folder: Path, part: str = "train") -> list[list[int]]:
    pieces = list(open_sequence_folder(folder).reader(part).pieces())
    return [
        row.tolist()
        for piece in pieces
        for row in np.split(piece.histories.items, piece.histories.offsets[1:-1])
    ]


def test_items_are_rows_of_the_catalogue(tmp_path: Path) -> None:
    dataset = open_sequence_folder(write(tmp_path, items="dcba"))
    assert dataset.item_keys == ["a", "b", "c", "d"]
    assert histories(tmp_path) == [[0, 1, 2], [3], [1, 0], [0, 2]]  # "x" is left out.


def test_without_items_the_catalogue_has_those_of_all_files(tmp_path: Path) -> None:
    write(tmp_path, items=None, held_out=[["a", "z"]])
    assert open_sequence_folder(tmp_path).item_keys == ["a", "b", "c", "d", "x", "z"]
    assert histories(tmp_path)[2] == [1, 4, 0]


def test_integer_items_keep_their_ids(tmp_path: Path) -> None:
    write(tmp_path, train=[[7, 30], [5]], held_out=[[5, 7]], items=(30, 5, 7))
    assert open_sequence_folder(tmp_path).item_keys == [5, 7, 30]
    assert histories(tmp_path) == [[1, 2], [0]]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    options = {"columns": {"user_id": "uid", "item_id": "basket"}, "repeats": "keep"}
    write(tmp_path, options=options, names=("uid", "basket"))
    assert open_sequence_folder(tmp_path).repeats == "keep"
    assert histories(tmp_path)[0] == [0, 1, 2]


def test_the_last_item_of_a_held_out_row_is_the_target(tmp_path: Path) -> None:
    reader = open_sequence_folder(write(tmp_path)).reader("test")
    (piece,) = reader.examples()
    users, examples = piece.users, piece.examples
    assert users.to_pylist() == ["u0", "u1"]
    assert examples.histories.items.tolist() == [0, 1, 2]
    assert examples.histories.lengths.tolist() == [2, 1]
    assert examples.targets.items.tolist() == [3, 0]
    (piece,) = reader.examples(np.array([1]))
    assert piece.users.to_pylist() == ["u1"]
    assert piece.examples.histories.items.tolist() == [2]


def test_event_columns_are_read_with_the_items(tmp_path: Path) -> None:
    write(tmp_path)
    rows = pa.parquet.read_table(tmp_path / "train.parquet")
    prices = [[1, 2, 3], [4], [5, 6, 7], None, [9, 9]]
    rows = pa.concat_tables([rows, rows.slice(0, 1)])
    rows = rows.append_column("price", pa.array(prices, pa.list_(pa.int64())))
    pa.parquet.write_table(rows, tmp_path / "train.parquet")
    dataset = open_sequence_folder(tmp_path)
    reader = dataset.reader("train", ("price",))
    (piece,) = reader.pieces()
    assert piece.histories.items.tolist() == [0, 1, 2, 3, 1, 0]
    assert piece.events["price"].to_pylist() == [1, 2, 3, 4, 5, 7]  # "x" is left out.
    assert reader.counts().notes[:2] == (
        "train.parquet: 1 × price is null (e.g. row 4: None)",
        "train.parquet: 1 × price differs in length from item_id (e.g. row 5: [9, 9])",
    )
    with pytest.raises(DataError, match=r"no column 'cost' of lists of numbers \(columns: price\)"):
        dataset.reader("train", ("cost",))


def test_bad_training_rows_are_counted_with_file_and_row(tmp_path: Path) -> None:
    users = ["u0", None, "u2", "u3", "u4"]
    write(tmp_path, train=[["a"], ["a"], None, ["b", None], ["x", "b"]], users=users)
    counts = open_sequence_folder(tmp_path).reader("train").counts()
    assert (counts.sequences, counts.events) == (2, 2)
    assert counts.notes == (
        "train.parquet: 1 × user_id is missing (e.g. row 2: None)",
        "train.parquet: 1 × item_id is null (e.g. row 3: None)",
        "train.parquet: 1 × item_id has a null (e.g. row 4: ['b', None])",
        "train.parquet: 1 × item_id has items that the catalogue lacks, which are left out "
        "(e.g. row 5: ['x', 'b'])",
    )


def test_bad_held_out_rows_are_counted_with_file_and_row(tmp_path: Path) -> None:
    write(tmp_path, held_out=[["a", "b"], ["a"], ["a", "x"], ["x", "a"]])
    counts = open_sequence_folder(tmp_path).reader("test").counts()
    assert counts.sequences == 1
    assert counts.notes == (
        "test.parquet: 1 × item_id has fewer than two items (e.g. row 2: ['a'])",
        "test.parquet: 1 × item_id ends with an item that the catalogue lacks "
        "(e.g. row 3: ['a', 'x'])",
        "test.parquet: 1 × item_id has no known item before the last one (e.g. row 4: ['x', 'a'])",
    )


def test_a_file_without_valid_rows_is_refused(tmp_path: Path) -> None:
    write(tmp_path, held_out=[["a"]])
    with pytest.raises(DataError, match=r"test.parquet: no valid row is left \(test.parquet: 1 ×"):
        open_sequence_folder(tmp_path).reader("test").counts()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": []}, None),
        ({"options": {"column": {}}}, "sequences.json: unknown key 'column'; known: columns"),
        ({"options": {"columns": {"item": "x"}}}, "columns must map user_id or item_id to names"),
        ({"options": {"repeats": "maybe"}}, "repeats must be keep or drop, got 'maybe'"),
        ({"names": ("user_id", "basket")}, r"no column 'item_id' \(columns: user_id, basket\)"),
        ({"train": ["a", "b"]}, "'item_id' must hold lists of integers or strings, got string"),
        ({"held_out": [[1, 2]]}, "'item_id' must hold strings, as in train.parquet, got integers"),
        ({"items": [None]}, r"the catalogue has no valid item \(items.parquet: 1 × item_id"),
    ],
)
def test_unfit_folders_are_refused_in_one_line(
    change: dict[str, Any], message: str | None, tmp_path: Path
) -> None:
    write(tmp_path, **change)
    if message is None:  # An empty list is replaced by the default.
        (tmp_path / "sequences.json").write_text("[]")
        message = "sequences.json: must be an object"
    with pytest.raises(DataError, match=message) as error:
        open_sequence_folder(tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (write(tmp_path) / "test.parquet").unlink()
    with pytest.raises(DataError, match=r"test.parquet: no such file"):
        open_sequence_folder(tmp_path)


def test_buffers_hold_every_row_once_in_the_order_of_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence_file, "_ROWS", 2)
    rows = [["a"] * (row + 1) for row in range(11)]
    reader = open_sequence_folder(write(tmp_path, train=rows)).reader("train")
    source = SequenceSource(reader, buffer_bytes=1)
    plain = list(source.buffers())
    lengths = np.concatenate([buffer.histories.lengths for buffer in plain])
    assert lengths.tolist() == list(range(1, 12))
    assert len(plain) == 6
    assert plain[0].start == 0
    assert sum(buffer.share for buffer in plain) == pytest.approx(1)
    first, again = (
        np.concatenate(
            [buffer.histories.lengths for buffer in source.buffers(4, np.random.default_rng(3))]
        ).tolist()
        for _ in range(2)
    )
    assert first == again != lengths.tolist()
    assert sorted(first) == lengths.tolist()
    assert len(list(SequenceSource(reader).buffers())) == 1
