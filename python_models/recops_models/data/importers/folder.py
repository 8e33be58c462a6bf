"""A user's own folder: ``interactions.parquet`` or ``.csv``, optionally ``items.*``, ``users.*``.

``interactions`` has ``user_id``, ``item_id``, ``timestamp`` (seconds, an ISO date or a Parquet
timestamp), and optionally ``rating``, ``label``, ``weight``. ``items`` has ``item_id`` and any text
or attribute columns, ``users`` ``user_id`` and any attributes; lists need Parquet. Where an
``items`` file is there, it is the catalogue.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from recops_models.data.assemble import IdKind, assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.importers.text_files import read_delimited


def read_folder(path: Path, *, name: str | None = None, ids: IdKind = "auto") -> Dataset:
    """Read the tables in folder ``path``.

    Raises:
        DataError: no interactions, two files for one table, an unreadable file, or a missing
            column.
    """
    if not path.is_dir():
        raise DataError(
            f"{path}: no such folder; one with interactions.csv or interactions.parquet is due"
        )
    interactions = _read(path, "interactions", ("user_id", "item_id"))
    if interactions is None:
        raise DataError(f"{path}: no interactions.parquet or interactions.csv in it")
    return assemble(
        name or path.resolve().name,
        interactions,
        _read(path, "items", ("item_id",)),
        _read(path, "users", ("user_id",)),
        source=str(path),
        ids=ids,
    )


def _read(folder: Path, stem: str, ids: tuple[str, ...]) -> RawTable | None:
    found = [
        file for suffix in ("parquet", "csv") if (file := folder / f"{stem}.{suffix}").exists()
    ]
    if len(found) > 1:
        raise DataError(f"{folder}: holds {stem}.parquet and {stem}.csv; remove one")
    if not found:
        return None
    if found[0].suffix == ".csv":
        return read_delimited(
            found[0],
            text=ids
            if stem != "interactions"
            else (*ids, "timestamp", "rating", "label", "weight"),
        )
    try:
        return RawTable(
            found[0].name, pa.parquet.ParquetFile(found[0]).read().replace_schema_metadata(None)
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{found[0]}: not readable as Parquet ({error})") from error
