"""A user's own folder: ``interactions.parquet`` or ``.csv``, optionally ``items.*``, ``users.*``.

``interactions`` has ``user_id``, ``item_id``, ``timestamp`` (seconds, an ISO date or a Parquet
timestamp), and optionally ``rating``, ``label``, ``feedback``, ``weight``, ``position``,
``propensity``, ``domain`` or ``scene`` (where it happened). Further columns of numbers or of
repeated text, such as ``price`` or ``event_type``, are kept for settings that name them.
``items`` has ``item_id`` and any text or attribute columns, ``users`` ``user_id`` and any
attributes; lists need Parquet. Where an ``items`` file is there, it is the catalogue.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset, column_role, is_list
from recops_models.data.errors import DataError
from recops_models.data.events import OPTIONAL
from recops_models.data.ids import IdKind
from recops_models.data.importers.parquet_files import read_parquet
from recops_models.data.importers.text_files import read_delimited
from recops_models.data.storage import refuse_unfinished

_EVENTS = ("user_id", "item_id", "timestamp", *OPTIONAL)
_MORE = ("domain", "scene")
"""Columns that say where an interaction happened; kept with any content."""


def read_folder(path: Path, *, name: str | None = None, ids: IdKind = "auto") -> Dataset:
    """Read the tables in folder ``path``, or the interactions in file ``path`` alone.

    Raises:
        CorruptFileError: a ``dataset.json`` beside the tables is damaged or foreign.
        DataError: no interactions, two files for one table, an unreadable file, a missing column,
            or tables of an import that was stopped.
    """
    if path.is_file():
        alone = _read_file(path, _EVENTS)
        return assemble(name or path.stem, alone, source=str(path), ids=ids, keep=_more(alone))
    if not path.is_dir():
        raise DataError(
            f"{path}: no such folder; one with interactions.csv or interactions.parquet is due"
        )
    refuse_unfinished(path)
    interactions = _read(path, "interactions", _EVENTS)
    if interactions is None:
        raise DataError(f"{path}: no interactions.parquet or interactions.csv in it")
    return assemble(
        name or path.resolve().name,
        interactions,
        _read(path, "items", ("item_id",)),
        _read(path, "users", ("user_id",)),
        source=str(path),
        ids=ids,
        keep=_more(interactions),
    )


def _more(raw: RawTable) -> tuple[str, ...]:
    """Return the columns that settings may name: scenes, numbers, and text that repeats."""
    columns = zip(raw.table.column_names, raw.table.columns, strict=True)
    return tuple(
        name
        for name, column in columns
        if name in _MORE or (name not in _EVENTS and _is_plain(column))
    )


def _is_plain(column: pa.ChunkedArray) -> bool:
    return column_role(column) in ("number", "attribute") and not is_list(column.type)


def _read(folder: Path, stem: str, text: tuple[str, ...]) -> RawTable | None:
    found = [
        file for suffix in ("parquet", "csv") if (file := folder / f"{stem}.{suffix}").exists()
    ]
    if len(found) > 1:
        raise DataError(f"{folder}: holds {stem}.parquet and {stem}.csv; remove one")
    return _read_file(found[0], text) if found else None


def _read_file(file: Path, text: tuple[str, ...]) -> RawTable:
    if file.suffix != ".parquet":
        return read_delimited(file, text=text)
    return read_parquet(file)
