"""Files of user or item ids: one id per line, or a column of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from recops.files import read_bounded
from recops_models.data.checks import RawTable, with_columns
from recops_models.data.column_names import renamed
from recops_models.data.columns import BoolArray, id_text
from recops_models.data.dataset import Entity
from recops_models.data.errors import DataError
from recops_models.data.importers.parquet_files import read_parquet
from recops_models.data.importers.text_files import read_delimited

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class IdFile:
    """The ids in a file, in the file's order.

    Attributes:
        path: path of the file.
        entity: ``"item"`` or ``"user"``.
        keys: the ids, as text.
        unit: ``"line"`` or ``"row"``, for messages.
        numbers: line or row number of each id, from 1.
    """

    path: Path
    entity: Entity
    keys: pa.Array
    unit: str
    numbers: Sequence[int]

    @classmethod
    def read(cls, path: Path, entity: Entity, columns: Mapping[str, str] = _NO_NAMES) -> IdFile:
        """Read the ids in ``path``.

        ``.csv``, ``.tsv`` (with a header line) and ``.parquet`` need a column ``item_id`` or
        ``user_id``. Any other file has one id per line.

        Args:
            path: the file.
            entity: ``"item"`` or ``"user"``.
            columns: other names of columns by canonical name, as in the data set.

        Raises:
            DataError: the file cannot be read or has no ids.
        """
        is_table = _is_table(path)
        file = _read_table(path, entity, columns) if is_table else _read_lines(path, entity)
        if not len(file.keys):
            raise DataError(f"{path}: has no {entity} ids")
        return file

    def refuse(self, bad: BoolArray, reason: str) -> None:
        """Raise :class:`DataError` for the first id that is marked in ``bad``."""
        if bad.any():
            row = int(bad.argmax())
            where = f"{self.path}, {self.unit} {self.numbers[row]}"
            raise DataError(f"{where}: {self.entity} {self.keys[row].as_py()!r} {reason}")


def _read_lines(path: Path, entity: Entity) -> IdFile:
    try:
        lines = read_bounded(path).decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as text ({error})") from error
    ids = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    return IdFile(path, entity, pa.array(ids.values(), pa.string()), "line", list(ids))


def read_id_table(
    path: Path, entity: Entity, *, other: Entity, columns: Mapping[str, str] = _NO_NAMES
) -> pa.Table:
    """Return the ids in a file as a table of text; the column of ``other`` is optional.

    ``.csv``, ``.tsv`` (with a header line) and ``.parquet`` need the column of ``entity``. Any
    other file has one id per line. ``columns`` is that of :meth:`IdFile.read`.

    Raises:
        DataError: the file cannot be read, or an id is missing.
    """
    if not _is_table(path):
        return pa.table({f"{entity}_id": IdFile.read(path, entity).keys})
    raw = _read_raw(path, columns)
    names = [f"{each}_id" for each in (entity, other)]
    names = [name for name in names if name == names[0] or name in raw.table.column_names]
    table = with_columns(raw, names).table
    ids = {name: id_text(table[name]) for name in names}
    for name, keys in ids.items():
        row = pc.index(keys, "").as_py()
        if row >= 0:
            raise DataError(f"{path}, row {row + 1}: {name} is missing")
    return pa.table(ids)


def read_id_rows(path: Path, columns: Mapping[str, str] = _NO_NAMES) -> pa.Table:
    """Return all columns of a ``.csv``, ``.tsv`` or ``.parquet`` file, with ids of text as text.

    ``columns`` is that of :meth:`IdFile.read`.

    Raises:
        DataError: the file has another ending, or cannot be read.
    """
    if not _is_table(path):
        raise DataError(f"{path}: must end in .csv, .tsv or .parquet")
    return _read_raw(path, columns).table


def _is_table(path: Path) -> bool:
    return path.suffix in (".csv", ".tsv", ".parquet")


def _read_raw(path: Path, columns: Mapping[str, str]) -> RawTable:
    """Read a table with canonical column names; ids of text files are text."""
    text: tuple[str, ...] = ("item_id", "user_id")
    text += tuple(columns[name] for name in text if name in columns)
    delimiter = "\t" if path.suffix == ".tsv" else ","
    if path.suffix == ".parquet":
        raw = read_parquet(path)
    else:
        raw = read_delimited(path, delimiter=delimiter, text=text)
    if raw.malformed:
        row, reason = raw.malformed[0]
        raise DataError(f"{path}, row {row}: cannot be read: {reason}")
    return dataclasses.replace(raw, table=renamed(raw.table, path.name, columns))


def _read_table(path: Path, entity: Entity, columns: Mapping[str, str]) -> IdFile:
    column = f"{entity}_id"
    raw = _read_raw(path, columns)
    keys = id_text(with_columns(raw, (column,)).table[column]).combine_chunks()
    file = IdFile(path, entity, keys, "row", range(1, len(keys) + 1))
    file.refuse(pc.equal(keys, "").to_numpy(zero_copy_only=False), "must have an id")
    return file
