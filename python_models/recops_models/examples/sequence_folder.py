"""Sequences in Parquet files larger than memory, for rankers.

The folder has ``sequences.json``, and ``train.parquet``, ``validation.parquet`` and
``test.parquet``. A row has a user, ``user_id``, and a list of items, ``item_id``, oldest first: all
training events of a user, or a window of them. In the held-out files, the last item of a row is to
be predicted from the items before it.

``sequences.json`` is an object with these optional keys:

- ``columns``: names in the files by canonical name, such as ``{"item_id": "basket"}``;
- ``repeats``: ``"keep"`` if lists may contain items of the history, ``"drop"`` (default) if not.

``items.parquet`` or ``items.csv`` holds the catalogue: ``item_id``, and any text or attributes.
Without it, the catalogue has the items of all three files, after one more pass over them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from recops.files import read_bounded
from recops_models.data.assemble import entity_table, read_entities
from recops_models.data.categories import with_integer_categories
from recops_models.data.checks import RawTable, RowCheck, plain_table, with_columns
from recops_models.data.dataset import Dataset, Repeats
from recops_models.data.errors import DataError
from recops_models.data.ids import IdKind, IdReader
from recops_models.data.importers.folder import read_table_file
from recops_models.data.report import ImportReport
from recops_models.data.sets import load
from recops_models.data.splits import PARTS
from recops_models.data.table_options import TableOptions
from recops_models.examples.key_counts import KeyCounts
from recops_models.examples.sequence_dataset import SequenceDataset
from recops_models.examples.sequence_file import SequenceFile

SEQUENCES = "sequences.json"
_ITEMS = ("items.parquet", "items.csv")
_COLUMNS = ("user_id", "item_id")


def is_sequence_folder(folder: Path) -> bool:
    """Return whether :func:`open_sequence_folder` can open the folder."""
    return (folder / SEQUENCES).is_file()


def open_histories(name_or_folder: str | Path) -> Dataset:
    """Open a data set of histories: in memory, or streamed from Parquet files.

    Args:
        name_or_folder: a named data set, a folder with interactions (see
            :func:`recops_models.data.sets.load`), or a folder of sequences as described in this
            module.

    Raises:
        UnknownDataError: no data set of this name and no such folder.
        DataError: the data is missing, damaged or unsuitable.
    """
    if is_sequence_folder(Path(name_or_folder)):
        return open_sequence_folder(Path(name_or_folder))
    return load(name_or_folder)


def open_sequence_folder(folder: Path) -> SequenceDataset:
    """Open the sequences in a folder, and read its catalogue.

    Memory grows with the catalogue, not with the files.

    Raises:
        DataError: a file is missing, damaged or unsuitable.
    """
    columns, repeats = _options(folder / SEQUENCES)
    files = {part: SequenceFile(folder / f"{part}.parquet", columns) for part in PARTS}
    train = files["train"]
    for file in files.values():
        train.check_kind(file)
    items, report = _catalogue(folder, files)
    key = {"user_key": pa.array([], pa.string())} if train.has_text_users else {}
    nothing = pa.array([], pa.int64())
    dataset = SequenceDataset(
        name=folder.resolve().name,
        interactions=pa.table(dict.fromkeys(("user_id", "item_id", "timestamp"), nothing)),
        items=items,
        users=pa.table({"user_id": nothing, **key}),
        report=report,
        time="order",
        repeats=repeats,
        files=files,
    )
    with_categories = with_integer_categories(dataset)
    assert isinstance(with_categories, SequenceDataset)
    return with_categories


def _options(path: Path) -> tuple[dict[str, str], Repeats]:
    """Return the names of columns and the treatment of repeats in ``sequences.json``."""
    try:
        content: object = json.loads(read_bounded(path))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: must be an object")
    if unknown := sorted(set(content) - {"columns", "repeats"}):
        raise DataError(f"{path}: unknown key {unknown[0]!r}; known: columns, repeats")
    columns, repeats = content.get("columns", {}), content.get("repeats", "drop")
    if not isinstance(columns, dict) or not all(
        name in _COLUMNS and isinstance(column, str) for name, column in columns.items()
    ):
        raise DataError(f"{path}: columns must map user_id or item_id to names, got {columns!r}")
    if repeats not in ("keep", "drop"):
        raise DataError(f"{path}: repeats must be keep or drop, got {repeats!r}")
    return columns, repeats


def _catalogue(folder: Path, files: Mapping[str, SequenceFile]) -> tuple[pa.Table, ImportReport]:
    """Return the items, and a report on their file."""
    kind: IdKind = "string" if files["train"].has_text_items else "integer"
    present = [folder / name for name in _ITEMS if (folder / name).exists()]
    if len(present) > 1:
        raise DataError(f"{folder}: holds {' and '.join(_ITEMS)}; remove one")
    if not present:
        raw = RawTable(SEQUENCES, pa.table({"item_id": _item_keys(files)}))
    else:
        raw = read_table_file(present[0], "items", TableOptions())
        raw = dataclasses.replace(raw, table=plain_table(raw.table))
    raw = with_columns(raw, ("item_id",))
    checks: list[RowCheck] = []
    notes: list[str] = []
    reader = IdReader.of("item", kind, [raw])
    listed = read_entities(raw, reader, "item", checks, notes)
    if not listed.num_rows:
        reasons = "; ".join(str(bad) for bad in checks[0].bad_rows) or "it is empty"
        raise DataError(f"{folder}: the catalogue has no valid item ({reasons})")
    items = entity_table(listed, np.empty(0, dtype=np.int64), reader)
    report = ImportReport(
        str(folder),
        {raw.file: checks[0].rows_read} if present else {},
        tuple(checks[0].bad_rows),
        tuple(notes),
    )
    return items, report


def _item_keys(files: Mapping[str, SequenceFile]) -> pa.Array:
    """Return the distinct item ids of all files, ascending."""
    counts = KeyCounts(capacity=1 << 62)
    for file in files.values():
        for piece in file.pieces():
            counts.add(piece[file.items].flatten())
    keys = counts.lookup(min_count=1).keys
    return keys if isinstance(keys, pa.Array) else pa.array(keys.ids)
