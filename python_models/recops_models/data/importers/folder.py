"""Importer of a user's own folder of CSV or Parquet tables.

The folder has ``interactions.parquet`` or ``.csv``, and optionally ``items.*`` and ``users.*``.

- ``interactions``: ``user_id``, ``item_id``, ``timestamp`` (seconds, an ISO date or a Parquet
  timestamp), and optionally ``rating``, ``label``, ``feedback``, ``weight``, ``position``,
  ``propensity``, ``domain`` and ``scene`` (where the interaction happened). Other columns of
  numbers or of repeated text, such as ``price`` or ``event_type``, are kept for settings that name
  them.
- ``items``: ``item_id`` and any text or attribute columns. The file is the catalogue: events with
  other items are dropped.
- ``users``: ``user_id`` and any attributes.

Columns of lists need Parquet.
"""

from __future__ import annotations

from pathlib import Path

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.events import OPTIONAL, setting_columns
from recops_models.data.ids import IdKind
from recops_models.data.importers.parquet_files import read_parquet
from recops_models.data.importers.text_files import read_delimited
from recops_models.data.storage import refuse_unfinished

_EVENTS = ("user_id", "item_id", "timestamp", *OPTIONAL)


def read_folder(path: Path, *, name: str | None = None, ids: IdKind = "auto") -> Dataset:
    """Read the tables in folder ``path``, or only interactions from file ``path``.

    Raises:
        CorruptFileError: a ``dataset.json`` in the folder is damaged or not a file of recops.
        DataError: there are no interactions, two files for one table, an unreadable file, or a
            missing column; or the tables belong to an interrupted import.
    """
    if path.is_file():
        interactions = _read_file(path, _EVENTS)
        return assemble(
            name or path.stem,
            interactions,
            source=str(path),
            ids=ids,
            extra_columns=setting_columns(interactions.table),
        )
    if not path.is_dir():
        raise DataError(
            f"{path}: no such folder; expected one with interactions.csv or interactions.parquet"
        )
    refuse_unfinished(path)
    table = _read(path, "interactions", _EVENTS)
    if table is None:
        raise DataError(f"{path}: no interactions.parquet or interactions.csv in it")
    return assemble(
        name or path.resolve().name,
        table,
        _read(path, "items", ("item_id",)),
        _read(path, "users", ("user_id",)),
        source=str(path),
        ids=ids,
        extra_columns=setting_columns(table.table),
    )


def _read(folder: Path, stem: str, text: tuple[str, ...]) -> RawTable | None:
    files = [
        file for suffix in ("parquet", "csv") if (file := folder / f"{stem}.{suffix}").exists()
    ]
    if len(files) > 1:
        raise DataError(f"{folder}: holds {stem}.parquet and {stem}.csv; remove one")
    return _read_file(files[0], text) if files else None


def _read_file(file: Path, text: tuple[str, ...]) -> RawTable:
    if file.suffix != ".parquet":
        return read_delimited(file, text=text)
    return read_parquet(file)
