"""MiniOneRec's files: ``NAME.item.json``, ``NAME.index.json``, ``NAME_{train,valid,test}.csv``.

A row of the CSV files is an example: a user's last items (``history_item_id``, at most ten) and the
next one (``item_id``). A user's examples overlap, and laid over one another they give back the
sequence. Items have text, a brand and a semantic ID (``items["sid"]``).

Where there is no ``train`` file, the users of ``test`` are marked in ``users["held_out"]``:
validation targets of those users stand in their test histories, so that only the others may be
trained on, which is what :func:`~recops_models.data.splits.by_user` does.
"""

from __future__ import annotations

import ast
import contextlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.ids import IdKind
from recops_models.data.importers.json_files import read_object
from recops_models.data.importers.sequences import ORDER_NOTE, sequence_rows
from recops_models.data.importers.sids import read_sids
from recops_models.data.importers.text_files import read_delimited

_PARTS = ("train", "valid", "test")
_COLUMNS = ("user_id", "history_item_id", "item_id")


def read_onerec(path: Path, *, name: str | None = None, ids: IdKind = "auto") -> Dataset:
    """Read the files in folder ``path``.

    Raises:
        DataError: there is no ``.item.json``, or more than one; there is no CSV file; a column is
            missing; a file is not what is described above.
    """
    found = sorted(path.glob("*.item.json"))
    if len(found) != 1:
        raise DataError(f"{path}: one .item.json file is due, found {len(found)}")
    stem = found[0].name.removesuffix(".item.json")
    files = [file for part in _PARTS if (file := path / f"{stem}_{part}.csv").exists()]
    if not files:
        raise DataError(f"{path}: no {stem}_train.csv, {stem}_valid.csv or {stem}_test.csv in it")
    examples = _Examples()
    for file in files:
        examples.add(file)
    held_out = examples.users_of.get(f"{stem}_test.csv", set())
    users = None
    if held_out and f"{stem}_train.csv" not in examples.users_of:
        marks = {user: user in held_out for user in examples.sequences}
        users = RawTable(
            f"{stem}_test.csv: users",
            pa.table({"user_id": list(marks), "held_out": list(marks.values())}),
        )
    return assemble(
        name or stem,
        examples.rows(stem),
        _read_items(found[0], path / f"{stem}.index.json"),
        users,
        source=str(path),
        ids=ids,
        time="order",
        notes=(ORDER_NOTE, *examples.notes()),
    )


class _Examples:
    """Users' sequences, put together from examples in the order they come."""

    def __init__(self) -> None:
        self.sequences: dict[str, list[str]] = {}
        self.users_of: dict[str, set[str]] = {}
        self._numbers: dict[str, int] = {}
        self._malformed: list[tuple[int, str]] = []
        self._seen: set[tuple[str, str, str]] = set()
        self._count = 0
        self._gaps = 0

    def add(self, file: Path) -> None:
        """All examples of one file."""
        raw = read_delimited(file, only_text=True)
        for column in _COLUMNS:
            if column not in raw.table.column_names:
                there = ", ".join(raw.table.column_names)
                raise DataError(f"{file}: no column {column!r} (columns: {there})")
        users = self.users_of.setdefault(file.name, set())
        self._malformed += [(self._count + row, reason) for row, reason in raw.malformed]
        for row, example in enumerate(
            zip(*(raw.table[column].to_pylist() for column in _COLUMNS), strict=True), 1
        ):
            user, history, target = example
            items = _items(history)
            fault = _fault(user, items, target)
            if fault is None and example in self._seen:
                fault = "exact repetition of an earlier row"
            if fault is not None:
                self._malformed.append((self._count + row, fault))
                continue
            assert items is not None  # _fault looked.
            self._seen.add(example)
            users.add(user)
            self._numbers.setdefault(user, self._count + row)
            self._extend(self.sequences.setdefault(user, []), items, target)
        self._count += raw.table.num_rows + len(raw.malformed)

    def _extend(self, sequence: list[str], history: list[str], target: str) -> None:
        overlap = next((n for n in range(len(history), 0, -1) if sequence[-n:] == history[:n]), 0)
        self._gaps += bool(sequence and not overlap and history)
        sequence += [*history[overlap:], target]

    def rows(self, stem: str) -> RawTable:
        """What :func:`assemble` takes."""
        return sequence_rows(
            f"{stem}_*.csv",
            list(self.sequences),
            list(self.sequences.values()),
            list(self._numbers.values()),
            self._malformed,
        )

    def notes(self) -> list[str]:
        """How well the examples fitted together."""
        return [
            f"{self._count:,} examples of {len(self.sequences):,} users, laid over one another; "
            f"{self._gaps:,} do not overlap the one before: events between may be missing"
        ]


def _fault(user: str | None, items: list[str] | None, target: str | None) -> str | None:
    if not user:
        return "user_id is missing"
    if items is None:
        return "history_item_id is no list of ids"
    return None if target else "item_id is missing"


def _items(text: str | None) -> list[str] | None:
    """``"[926, 38]"`` as ``["926", "38"]``; None where it is no such list."""
    try:
        values = json.loads(text or "")
    except ValueError:
        return None
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        return None
    return [str(value) for value in values]


def _read_items(file: Path, index: Path) -> RawTable:
    malformed = []
    rows: list[dict[str, Any]] = []
    pairs = read_object(file, "an object from item id to its title, description, brand, categories")
    for number, (item, fields) in enumerate(pairs, 1):
        if isinstance(fields, dict):
            rows.append({"item_id": item, **{key: _text(key, fields[key]) for key in fields}})
        else:
            malformed.append((number, "an item is no object"))
    columns = {key: None for row in rows for key in row}
    table = pa.table(
        {key: pa.array([row.get(key) for row in rows], pa.string()) for key in columns}
    )
    if index.exists():
        sids = read_sids(index).table
        place = pa.compute.index_in(table["item_id"], value_set=sids["item_id"].combine_chunks())
        table = table.append_column("sid", sids["sid"].combine_chunks().take(place))
    empty = [key for key in table.column_names if table[key].null_count == table.num_rows]
    return RawTable(file.name, table.drop_columns(empty), malformed)


def _text(key: str, value: Any) -> str | None:
    """A field as text; a description is a Python list of paragraphs, in quotes."""
    text = value if isinstance(value, str) else json.dumps(value)
    if key == "description" and text.startswith("["):
        with contextlib.suppress(ValueError, SyntaxError):
            text = " ".join(map(str, ast.literal_eval(text)))
    return text.strip() or None
