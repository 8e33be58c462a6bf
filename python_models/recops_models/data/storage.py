"""Storage of a data set in a folder: three sealed Parquet files and ``dataset.json``.

``dataset.json`` is written first as unfinished and last with the tables' digests. Readers therefore
refuse the output of an interrupted import.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from recops.files import SEAL, CorruptFileError, read_json, read_sealed, write_json, write_sealed
from recops_models.callbacks import Callbacks
from recops_models.data.categories import integer_categories, with_categories
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.event_columns import EventColumn
from recops_models.data.frames import ARROW
from recops_models.data.report import ImportReport
from recops_models.data.times import TimeFormat
from recops_models.settings import JsonObject

_TABLES = ("interactions", "items", "users")
_KIND = "dataset"
_UNFINISHED = {"finished": False}


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as one sealed Parquet file."""
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(table.replace_schema_metadata({"recops": SEAL}), sink)
    write_sealed(path, sink.getvalue().to_pybytes())


def read_table(path: Path) -> pa.Table:
    """Read and verify a table that :func:`write_table` wrote.

    Raises:
        CorruptFileError: the file is damaged, truncated or not a file of recops.
        FileNotFoundError: no such file.
    """
    return _parse(read_sealed(path))


def is_sealed(path: Path) -> bool:
    """Return whether the metadata of a Parquet file has the mark of recops.

    The content is not verified. A truncated file, which has lost its metadata, counts as sealed.

    Raises:
        FileNotFoundError: no such file.
    """
    try:
        metadata = pa.parquet.read_metadata(path).metadata
    except pa.ArrowInvalid:
        return True
    return b"recops" in (metadata or {})


def _parse(data: bytes) -> pa.Table:
    # The threads of pa.parquet.read_table may outlive the interpreter and abort it at exit.
    return (
        pa.parquet.ParquetFile(pa.BufferReader(data))
        .read(use_threads=False)
        .replace_schema_metadata(None)
    )


def save_dataset(
    dataset: Dataset,
    folder: Path,
    callbacks: Callbacks | None = None,
    *,
    options: JsonObject | None = None,
) -> None:
    """Write ``dataset`` into ``folder``, which is created if missing; replace a stored data set.

    If the write is interrupted, readers refuse the folder.

    Args:
        dataset: the data set.
        folder: where to write it.
        callbacks: receive the share of tables that are written.
        options: options of the import, for :func:`check_replaceable`.
    """
    callbacks = callbacks or Callbacks()
    folder.mkdir(parents=True, exist_ok=True)
    binding = folder / "dataset.json"
    write_json(binding, _UNFINISHED, kind=_KIND)
    digests = {}
    for number, name in enumerate(_TABLES):
        callbacks.advance(number / len(_TABLES), name)
        file = folder / f"{name}.parquet"
        write_table(file, getattr(dataset, name))
        digests[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    content = {
        "name": dataset.name,
        "time": dataset.time,
        "tables": digests,
        "categories": {
            name: integer_categories(getattr(dataset, name)) for name in ("items", "users")
        },
        "report": dataset.report.to_dict(),
        "library": dataset.library,
        "columns": dict(dataset.columns),
        "repeats": dataset.repeats,
        "reads_lists": dataset.reads_lists,
        "event_columns": [dataclasses.asdict(column) for column in dataset.event_columns],
        "time_format": dataclasses.asdict(dataset.time_format),
        **({} if options is None else {"import": options}),
    }
    write_json(binding, content, kind=_KIND)


def check_replaceable(folder: Path, options: JsonObject) -> None:
    """Check that an import into ``folder`` replaces only an import with the same options.

    Data sets that were saved without options may be replaced, and so may unfinished ones.

    Raises:
        CorruptFileError: ``dataset.json`` is damaged or not a file of recops.
        ValueError: the folder holds a data set that was imported with other options.
    """
    if not is_saved(folder):
        return
    stored = read_json(folder / "dataset.json", kind=_KIND).get("import")
    for name, value in json.loads(json.dumps(options)).items():
        if stored is not None and stored.get(name) != value:
            raise ValueError(
                f"{folder} holds a data set that was imported with {name} {stored.get(name)}, not "
                f"{value}: name another folder, or replace it with --force"
            )


def is_saved(folder: Path) -> bool:
    """Return whether :func:`save_dataset` has started to write into ``folder``."""
    return (folder / "dataset.json").exists()


def load_dataset(folder: Path) -> Dataset:
    """Load the data set that :func:`save_dataset` wrote.

    Raises:
        CorruptFileError: a file is damaged, or belongs to another import.
        DataError: the import was interrupted.
        FileNotFoundError: a file is missing.
    """
    content = _binding(folder)
    tables = {}
    for name in _TABLES:
        file = folder / f"{name}.parquet"
        data = read_sealed(file)
        if hashlib.sha256(data).hexdigest() != content["tables"][name]:
            raise CorruptFileError(
                f"{file}: does not belong to the import of dataset.json; "
                "run `recops data import` again"
            )
        # Parquet has no dictionaries of integers. Folders of older versions have no list of them.
        categories = content.get("categories", {}).get(name, ())
        tables[name] = with_categories(_parse(data), categories)
    return Dataset(
        name=content["name"],
        time=content["time"],
        report=ImportReport.from_dict(content["report"]),
        library=content.get("library", ARROW),
        columns=content.get("columns", {}),
        repeats=content.get("repeats", "drop"),
        time_format=TimeFormat(**content.get("time_format", {})),
        reads_lists=content.get("reads_lists", False),
        event_columns=tuple(EventColumn(**column) for column in content.get("event_columns", ())),
        **tables,
    )


def refuse_unfinished(folder: Path) -> None:
    """Raise an error if the import into ``folder`` was interrupted.

    Raises:
        CorruptFileError: ``dataset.json`` is damaged or not a file of recops.
        DataError: the import was interrupted.
    """
    if is_saved(folder):
        _binding(folder)


def _binding(folder: Path) -> dict[str, Any]:
    content = read_json(folder / "dataset.json", kind=_KIND)
    if content == _UNFINISHED:
        raise DataError(f"{folder}: the import was interrupted; run `recops data import` again")
    return content
