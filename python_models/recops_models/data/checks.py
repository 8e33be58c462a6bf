"""Checks of imported rows, and the count of the rows that fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.column_roles import is_list
from recops_models.data.columns import BoolArray
from recops_models.data.errors import DataError
from recops_models.data.report import BadRows


@dataclass(frozen=True)
class RawTable:
    """A file's content before any check.

    Attributes:
        file: name of the file, for the report.
        table: rows and columns, of any types.
        malformed: number (from 1, over all data rows) and reason for each row that could not be
            split into columns.
        numbers: number of each table row in the file, where one line yields several rows; None
            numbers the rows in order, malformed ones included.
    """

    file: str
    table: pa.Table
    malformed: Sequence[tuple[int, str]] = ()
    numbers: NDArray[np.int64] | None = None


def with_columns(raw: RawTable, required: Sequence[str], optional: Sequence[str] = ()) -> RawTable:
    """Return ``raw`` with these columns decoded: no dictionaries, text as plain strings.

    Raises:
        DataError: two columns have the same name, a required column is missing, or a column holds
            lists, structures or bytes.
    """
    table, names = raw.table, raw.table.column_names
    if len(set(names)) < len(names):
        raise DataError(f"{raw.file}: column names must be unique, got {', '.join(names)}")
    for name in required:
        if name not in names:
            available = ", ".join(names) or "none"
            raise DataError(f"{raw.file}: no column {name!r} (columns: {available})")
    for name in (*required, *(name for name in optional if name in names)):
        column, kind = table[name], table[name].type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if _is_text(kind):
            kind = pa.string()
        if pa.types.is_nested(kind) or "binary" in str(kind):
            raise DataError(f"{raw.file}: column {name!r} must hold numbers or text, got {kind}")
        table = table.set_column(names.index(name), name, column.cast(kind))
    return replace(raw, table=table)


def plain_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ``column`` with string views and large strings cast to strings.

    This includes the values of lists and of dictionaries.
    """
    kind = column.type
    if _is_text(kind):
        return column.cast(pa.string())
    if pa.types.is_dictionary(kind) and _is_text(kind.value_type):
        chunks = [
            pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(pa.string()))
            for chunk in column.chunks
        ]
        return pa.chunked_array(chunks, pa.dictionary(kind.index_type, pa.string()))
    if is_list(kind) and _is_text(kind.value_type):
        return column.cast(pa.list_(pa.string()))
    return column


def plain_table(table: pa.Table) -> pa.Table:
    """Return ``table`` with :func:`plain_text` columns."""
    return pa.table([plain_text(column) for column in table.columns], names=table.column_names)


def _is_text(kind: pa.DataType) -> bool:
    return str(kind) in ("string_view", "large_string")


class RowCheck:
    """Record of one file's bad rows; each row counts once, under the first reason."""

    def __init__(self, raw: RawTable) -> None:
        self._raw = raw
        self.reasons: list[str] = []  # Of all checks, in order, also of those that all rows pass.
        self.good: BoolArray = np.ones(raw.table.num_rows, dtype=bool)
        self.bad_rows: list[BadRows] = []
        self.unsorted = 0  # Valid rows that are earlier than the previous valid row.
        reasons: dict[str, list[int]] = {}
        for number, reason in raw.malformed:
            reasons.setdefault(reason, []).append(number)
        for reason, numbers in reasons.items():
            self._note(reason, len(numbers), f"row {numbers[0]}")

    @property
    def file(self) -> str:
        """Name of the file."""
        return self._raw.file

    @property
    def rows_read(self) -> int:
        """Number of data rows in the file."""
        return len(self.good) + len(self._raw.malformed)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Indices of the rows that passed all checks so far."""
        return np.flatnonzero(self.good)

    def reject(self, bad: BoolArray, reason: str, columns: Sequence[str]) -> None:
        """Reject the rows marked in ``bad``; the report's example shows ``columns``."""
        self.reasons.append(reason)
        newly_bad = bad & self.good
        count = int(newly_bad.sum())
        if not count:
            return
        row = int(newly_bad.argmax())
        shown = ", ".join(f"{name}={self._raw.table[name][row].as_py()!r}" for name in columns)
        self._note(reason, count, f"row {self._row_number(row)}: {shown}")
        self.good &= ~bad

    def reject_faults(self, faults: Sequence[tuple[str, BoolArray]], column: str) -> None:
        """Reject the rows of each fault that a parser of ``column`` reported."""
        for reason, bad in faults:
            self.reject(bad, reason, [column])

    def _note(self, reason: str, count: int, example: str) -> None:
        self.bad_rows.append(BadRows(self._raw.file, reason, count, example))

    def _row_number(self, row: int) -> int:
        """Return the number in the file of table row ``row``; malformed rows count."""
        if self._raw.numbers is not None:
            return int(self._raw.numbers[row])
        number = row + 1
        for malformed, _ in self._raw.malformed:
            if malformed > number:
                break
            number += 1
        return number


def repeats(columns: Sequence[NDArray[np.generic]], rows: NDArray[np.int64]) -> BoolArray:
    """Mark the ``rows`` that equal an earlier one of ``rows`` in every column."""
    marks = np.zeros(len(columns[0]), dtype=bool)
    order = rows[np.lexsort([column[rows] for column in columns])]
    equal = np.ones(max(len(order) - 1, 0), dtype=bool)
    for column in columns:
        equal &= column[order[1:]] == column[order[:-1]]
    marks[order[1:][equal]] = True
    return marks
