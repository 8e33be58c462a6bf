"""Storage of a data set in a folder: three sealed Parquet files and ``dataset.json``.

``dataset.json`` is written first as unfinished and last with the tables' digests. Readers therefore
refuse the output of an interrupted import.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from recops.files import (
    SEAL,
    CorruptFileError,
    file_digest,
    new_file,
    read_json,
    read_sealed,
    seal_file,
    verify_file,
    write_json,
)
from recops_models.callbacks import Callbacks
from recops_models.data.categories import integer_categories, with_categories
from recops_models.data.dataset import BLOCK, Dataset
from recops_models.data.errors import DataError
from recops_models.data.event_columns import EventColumn
from recops_models.data.report import ImportReport
from recops_models.data.stored_dataset import StoredDataset
from recops_models.data.times import TimeFormat
from recops_models.settings import JsonObject

_TABLES = ("interactions", "items", "users")
_KIND = "dataset"
_BINDING = "dataset.json"
_UNFINISHED = {"finished": False}


class RowGroups:
    """Rows of one Parquet file, written in row groups of 1,048,576 rows.

    The bytes of the file depend on the rows only, and not on their division into tables.

    Attributes:
        num_rows: number of rows so far.
    """

    def __init__(self, writer: pa.parquet.ParquetWriter, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._buffer: list[pa.Table] = []
        self._held = 0
        self.num_rows = 0

    def add(self, table: pa.Table) -> None:
        """Append the rows of a table."""
        self._buffer.append(table.replace_schema_metadata(None))
        self._held += table.num_rows
        self.num_rows += table.num_rows
        while self._held >= BLOCK:
            rows = pa.concat_tables(self._buffer)
            self._write(rows.slice(0, BLOCK))
            self._buffer, self._held = [rows.slice(BLOCK)], self._held - BLOCK

    def finish(self) -> None:
        """Write the remaining rows; a table without rows has one empty row group."""
        if self._held or not self.num_rows:
            self._write(pa.concat_tables(self._buffer or [self._schema.empty_table()]))

    def _write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows.combine_chunks(), row_group_size=BLOCK)


@contextmanager
def new_table(
    path: Path, schema: pa.Schema, *, before_rename: Callable[[], object] = lambda: None
) -> Iterator[RowGroups]:
    """Open a sealed Parquet file for writing, table by table; memory holds one row group.

    Args:
        path: the file; an existing one is replaced when the block ends without an error.
        schema: names and types of the columns.
        before_rename: called when the content is complete in a temporary file. If it raises an
            error, ``path`` does not change.
    """
    plain = schema.remove_metadata()
    with new_file(path) as file:
        with pa.parquet.ParquetWriter(file, plain.with_metadata({"recops": SEAL})) as writer:
            rows = RowGroups(writer, plain)
            yield rows
            rows.finish()
        seal_file(file)
        before_rename()


def write_table(
    path: Path, table: pa.Table, *, before_rename: Callable[[], object] = lambda: None
) -> None:
    """Write an Arrow table as one sealed Parquet file; see :func:`new_table`."""
    with new_table(path, table.schema, before_rename=before_rename) as rows:
        rows.add(table)


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


class DatasetWriter:
    """Writer of a data set into a folder, table by table; readers refuse it until it is finished.

    Args:
        folder: created if missing; a stored data set is replaced.
        callbacks: receive the share of tables that are written.
    """

    def __init__(self, folder: Path, callbacks: Callbacks | None = None) -> None:
        self._folder, self._callbacks = folder, callbacks or Callbacks()
        self._digests: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _BINDING, _UNFINISHED, kind=_KIND)

    def write(self, name: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
        """Write ``"interactions"``, ``"items"`` or ``"users"``; return the number of rows."""
        self._callbacks.advance(len(self._digests) / len(_TABLES), name)
        path = self._folder / f"{name}.parquet"
        with new_table(path, schema) as rows:
            for table in tables:
                rows.add(table)
        self._digests[name] = file_digest(path)
        return rows.num_rows

    def finish(self, dataset: Dataset, options: JsonObject | None = None) -> None:
        """Write the other properties of the data set, whose tables are written.

        Args:
            dataset: its tables may lack rows, except items and users with integer categories.
            options: options of the import, for :func:`check_replaceable`.
        """
        content = {
            "name": dataset.name,
            "time": dataset.time,
            "tables": {name: self._digests[name] for name in _TABLES},
            "categories": {
                name: integer_categories(getattr(dataset, name)) for name in ("items", "users")
            },
            "report": dataset.report.to_dict(),
            "library": dataset.library,
            "columns": dict(dataset.columns),
            "repeats": dataset.repeats,
            "reads_lists": dataset.reads_lists,
            "labels": list(dataset.labels),
            "value": dataset.value,
            "event_columns": [dataclasses.asdict(column) for column in dataset.event_columns],
            "time_format": dataclasses.asdict(dataset.time_format),
            **({} if options is None else {"import": options}),
        }
        write_json(self._folder / _BINDING, content, kind=_KIND)


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
    writer = DatasetWriter(folder, callbacks)
    for name in _TABLES:
        table: pa.Table = getattr(dataset, name)
        writer.write(name, table.schema, [table])
    writer.finish(dataset, options)


def check_replaceable(folder: Path, options: JsonObject) -> None:
    """Check that an import into ``folder`` replaces only an import with the same options.

    Data sets that were saved without options may be replaced, and so may unfinished ones.

    Raises:
        CorruptFileError: ``dataset.json`` is damaged or not a file of recops.
        ValueError: the folder holds a data set that was imported with other options.
    """
    if not is_saved(folder):
        return
    stored = read_json(folder / _BINDING, kind=_KIND).get("import")
    for name, value in json.loads(json.dumps(options)).items():
        if stored is not None and stored.get(name) != value:
            raise ValueError(
                f"{folder} holds a data set that was imported with {name} {stored.get(name)}, not "
                f"{value}: name another folder, or replace it with --force"
            )


def is_saved(folder: Path) -> bool:
    """Return whether :func:`save_dataset` has started to write into ``folder``."""
    return (folder / _BINDING).exists()


def load_dataset(folder: Path) -> Dataset:
    """Load the data set that :func:`save_dataset` wrote; interactions are read when they are used.

    Raises:
        CorruptFileError: a file is damaged, or belongs to another import.
        DataError: the import was interrupted.
        FileNotFoundError: a file is missing.
    """
    content = read_properties(folder)
    paths = {name: folder / f"{name}.parquet" for name in _TABLES}
    for name, file in paths.items():
        if file_digest(file) != content["tables"][name]:
            verify_file(file)
            raise CorruptFileError(
                f"{file}: does not belong to the import of dataset.json; "
                "run `recops data import` again"
            )
    # Parquet has no dictionaries of integers.
    categories = content["categories"]
    tables = {
        name: with_categories(_parse(paths[name].read_bytes()), categories.get(name, ()))
        for name in ("items", "users")
    }
    schema = pa.parquet.read_schema(paths["interactions"]).remove_metadata()
    described = Dataset(
        name=content["name"],
        interactions=schema.empty_table(),
        time=content["time"],
        report=ImportReport.from_dict(content["report"]),
        library=content["library"],
        columns=content["columns"],
        repeats=content["repeats"],
        time_format=TimeFormat(**content["time_format"]),
        labels=tuple(content["labels"]),
        value=content["value"],
        reads_lists=content["reads_lists"],
        event_columns=tuple(EventColumn(**column) for column in content["event_columns"]),
        **tables,
    )
    return StoredDataset.of_file(paths["interactions"], described)


def refuse_unfinished(folder: Path) -> None:
    """Raise an error if the import into ``folder`` was interrupted.

    Raises:
        CorruptFileError: ``dataset.json`` is damaged or not a file of recops.
        DataError: the import was interrupted.
    """
    if is_saved(folder):
        read_properties(folder)


def read_properties(folder: Path) -> dict[str, Any]:
    """Read the properties of a stored data set without its tables, the content of ``dataset.json``.

    Raises:
        CorruptFileError: ``dataset.json`` is damaged or not a file of recops.
        DataError: the import was interrupted.
    """
    content = read_json(folder / _BINDING, kind=_KIND)
    if content == _UNFINISHED:
        raise DataError(f"{folder}: the import was interrupted; run `recops data import` again")
    return content
