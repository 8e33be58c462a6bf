"""Importer of MiniOneRec's files.

The files are ``NAME.item.json``, ``NAME.index.json`` and ``NAME_{train,valid,test}.csv``. A CSV row
is an example: a user's last items (``history_item_id``, at most ten) and the next one
(``item_id``). A user's examples overlap, so that their sequence can be reconstructed. Items have
text, a brand and a semantic ID (``items["sid"]``).

Without a ``train`` file, ``users["held_out"]`` marks the users of ``test``. Their test histories
contain their validation targets, so training may use only the other users, as
:func:`~recops_models.data.splits.by_user` does.
"""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.ids import IdKind
from recops_models.data.importers.json_files import read_object
from recops_models.data.importers.overlaps import OverlappingExamples
from recops_models.data.importers.sequences import ORDER_NOTE
from recops_models.data.importers.sids import read_sids

_PARTS = ("train", "valid", "test")


def read_onerec(path: Path, *, name: str | None = None, ids: IdKind = "auto") -> Dataset:
    """Read the files in folder ``path``.

    Raises:
        DataError: there is not exactly one ``.item.json``; there is no CSV file; a column is
            missing; a file does not have the format described above.
    """
    item_files = sorted(path.glob("*.item.json"))
    if len(item_files) != 1:
        raise DataError(f"{path}: must hold one .item.json file, got {len(item_files)}")
    stem = item_files[0].name.removesuffix(".item.json")
    files = [file for part in _PARTS if (file := path / f"{stem}_{part}.csv").exists()]
    if not files:
        raise DataError(f"{path}: no {stem}_train.csv, {stem}_valid.csv or {stem}_test.csv in it")
    examples = OverlappingExamples()
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
    items = _read_items(item_files[0], path / f"{stem}.index.json")
    return assemble(
        name or stem,
        examples.rows(stem),
        items,
        users,
        source=str(path),
        ids=ids,
        time="order",
        notes=(ORDER_NOTE, *examples.notes(), *_missing_sid_notes(items)),
    )


def _read_items(file: Path, index: Path) -> RawTable:
    malformed = []
    rows: list[dict[str, Any]] = []
    pairs = read_object(file, "an object from item id to its title, description, brand, categories")
    for number, (item, fields) in enumerate(pairs, 1):
        if isinstance(fields, dict):
            described = {key: _text(key, value) for key, value in fields.items()}
            described.pop("item_id", None)
            rows.append({"item_id": item, **described})
        else:
            malformed.append((number, "an item is not an object"))
    columns = dict.fromkeys(["item_id", *(key for row in rows for key in row)])
    table = pa.table(
        {key: pa.array([row.get(key) for row in rows], pa.string()) for key in columns}
    )
    if index.exists():
        sids = read_sids(index).table
        rows = pa.compute.index_in(table["item_id"], value_set=sids["item_id"].combine_chunks())
        table = table.append_column("sid", sids["sid"].combine_chunks().take(rows))
    empty = [
        key
        for key in table.column_names
        if key not in ("item_id", "sid") and table[key].null_count == len(table)
    ]
    return RawTable(file.name, table.drop_columns(empty), malformed)


def _missing_sid_notes(items: RawTable) -> Iterator[str]:
    if "sid" in items.table.column_names and items.table["sid"].null_count:
        yield f"{items.file}: {items.table['sid'].null_count:,} items have no semantic ID"


def _text(key: str, value: Any) -> str | None:
    """Return a field as text; a description is the repr of a Python list of paragraphs."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    if key == "description" and text.startswith("["):
        with contextlib.suppress(ValueError, SyntaxError):
            text = " ".join(map(str, ast.literal_eval(text)))
    return text.strip() or None
