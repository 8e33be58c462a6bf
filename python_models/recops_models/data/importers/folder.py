"""Importer of a user's own folder of delimited text or Parquet tables.

The folder has ``interactions.*``, and optionally ``items.*`` and ``users.*``, with the suffix
``.parquet``, ``.csv``, ``.tsv``, ``.csv.gz`` or ``.tsv.gz``.

- ``interactions``: ``user_id``, ``item_id``, ``timestamp`` (a number, a date or a Parquet
  timestamp; without it, the rows are in the order of the events), and optionally ``rating``,
  ``label``, ``feedback``, ``weight``, ``position``, ``propensity``, ``domain`` and ``scene`` (where
  the interaction happened). Other columns of numbers or of repeated text, such as ``price`` or
  ``event_type``, are kept for settings that name them.
- ``items``: ``item_id`` and any text or attribute columns. The file is the catalogue: events with
  other items are dropped.
- ``users``: ``user_id`` and any attributes.

Columns of lists need Parquet, or the role ``list`` in a schema.
:class:`~recops_models.data.table_options.TableOptions` describes tables with other names,
separators, headers and times.
"""

from __future__ import annotations

from pathlib import Path

from recops_models.data.checks import RawTable
from recops_models.data.column_names import clean_name
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.events import OPTIONAL
from recops_models.data.ids import IdKind
from recops_models.data.importers.parquet_files import read_parquet
from recops_models.data.importers.text_files import read_delimited
from recops_models.data.own_tables import assemble_own
from recops_models.data.storage import refuse_unfinished
from recops_models.data.table_options import TABLES, TableOptions

_SUFFIXES = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
_TEXT = ("user_id", "item_id", "timestamp", *OPTIONAL)
"""Columns of text files that are read as text: floats would round ids."""


def read_folder(
    path: Path,
    *,
    name: str | None = None,
    ids: IdKind = "auto",
    options: TableOptions | None = None,
) -> Dataset:
    """Read the tables in folder ``path``, or only interactions from file ``path``.

    Args:
        path: folder or file.
        name: name of the data set; None: the name of the folder or file.
        ids: see :func:`~recops_models.data.assemble.assemble`.
        options: names, separators, headers and times of the tables.

    Raises:
        CorruptFileError: a ``dataset.json`` in the folder is damaged or not a file of recops.
        DataError: there are no interactions, two files for one table, an unreadable file, or a
            missing column; or the tables belong to an interrupted import.
    """
    options = options or TableOptions()
    files = {"interactions": path} if path.is_file() else table_files(path)
    return assemble_own(
        name or name_of(path),
        {table: read_table_file(file, table, options) for table, file in files.items()},
        options,
        source=str(path),
        kind="file",
        ids=ids,
    )


def table_files(folder: Path) -> dict[str, Path]:
    """Return the file of each table in a folder."""
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; expected one with interactions.csv or interactions.parquet"
        )
    refuse_unfinished(folder)
    files = {}
    for table in TABLES:
        present = [file for suffix in _SUFFIXES if (file := folder / f"{table}{suffix}").exists()]
        if len(present) > 1:
            names = " and ".join(file.name for file in present)
            raise DataError(f"{folder}: holds {names}; remove one")
        if present:
            files[table] = present[0]
    if "interactions" not in files:
        raise DataError(
            f"{folder}: no interactions.parquet or interactions.csv in it (suffixes: "
            f"{', '.join(_SUFFIXES)})"
        )
    return files


def name_of(path: Path) -> str:
    """Return the name of the data set in a folder or file."""
    if not path.is_file():
        return path.resolve().name
    suffix = next((each for each in reversed(_SUFFIXES) if path.name.endswith(each)), path.suffix)
    return path.name.removesuffix(suffix)


def read_table_file(file: Path, table: str, options: TableOptions) -> RawTable:
    """Read the file of one table.

    Raises:
        DataError: the file is unreadable.
    """
    if file.suffix == ".parquet":
        return read_parquet(file)
    delimiter, text = separator_of(file, options), text_columns(options)
    return read_delimited(file, delimiter=delimiter, header=options.header.get(table), text=text)


def separator_of(file: Path, options: TableOptions) -> str | None:
    """Return the separator of a text file; None: the first line decides."""
    is_tabs = options.separator is None and ".tsv" in file.suffixes[-2:]
    return "\t" if is_tabs else options.separator


def text_columns(options: TableOptions) -> tuple[str, ...]:
    """Return the names in the files of the columns that are read as text."""
    named = (options.columns[name] for name in _TEXT if name in options.columns)
    return (*_TEXT, *map(clean_name, named))
