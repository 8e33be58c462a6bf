"""The sieve that every imported row passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.columns import BoolArray
from recops_models.data.dataset import is_list
from recops_models.data.errors import DataError
from recops_models.data.report import BadRows


@dataclass(frozen=True)
class RawTable:
    """A file as it was read, before any check.

    Attributes:
        file: its name, for the report.
        table: its rows and columns, of whatever types.
        malformed: the numbers (from 1, over all data rows) of rows that could not even be split
            into columns, and why.
        numbers: each table row's number in the file, where one line makes several rows; None: rows
            are numbered as they come, malformed ones included.
    """

    file: str
    table: pa.Table
    malformed: Sequence[tuple[int, str]] = ()
    numbers: NDArray[np.int64] | None = None


def with_columns(raw: RawTable, required: Sequence[str], optional: Sequence[str] = ()) -> RawTable:
    """``raw`` with these columns as plain values, where dictionaries or views of text stood.

    Raises:
        DataError: two columns bear one name, a required one is missing, or one holds lists,
            structures or bytes.
    """
    table, names = raw.table, raw.table.column_names
    if len(set(names)) < len(names):
        raise DataError(f"{raw.file}: two columns bear one name ({', '.join(names)})")
    for name in required:
        if name not in names:
            found = ", ".join(names) or "none"
            raise DataError(f"{raw.file}: no column {name!r} (columns: {found})")
    for name in (*required, *(name for name in optional if name in names)):
        column, kind = table[name], table[name].type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if _is_text(kind):
            kind = pa.string()
        if pa.types.is_nested(kind) or "binary" in str(kind):
            raise DataError(f"{raw.file}: column {name!r} must hold numbers or text, found {kind}")
        table = table.set_column(names.index(name), name, column.cast(kind))
    return replace(raw, table=table)


def plain_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """``column`` with strings where views of text or long strings stood, in lists as well."""
    kind = column.type
    if _is_text(kind):
        return column.cast(pa.string())
    if is_list(kind) and _is_text(kind.value_type):
        return column.cast(pa.list_(pa.string()))
    return column


def _is_text(kind: pa.DataType) -> bool:
    return str(kind) in ("string_view", "large_string")


class RowCheck:
    """Which rows of one file are bad, and why; each counts once, under the first reason found."""

    def __init__(self, raw: RawTable) -> None:
        self._raw = raw
        self.good: BoolArray = np.ones(raw.table.num_rows, dtype=bool)
        self.bad_rows: list[BadRows] = []
        self.unsorted = 0  # Good rows that are earlier than the good row before them.
        reasons: dict[str, list[int]] = {}
        for number, reason in raw.malformed:
            reasons.setdefault(reason, []).append(number)
        for reason, numbers in reasons.items():
            self._note(reason, len(numbers), f"row {numbers[0]}")

    @property
    def rows_read(self) -> int:
        """All data rows of the file."""
        return len(self.good) + len(self._raw.malformed)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows that passed so far."""
        return np.flatnonzero(self.good)

    def reject(self, bad: BoolArray, reason: str, columns: Sequence[str]) -> None:
        """Take out the rows of ``bad`` that are still in; ``columns`` are shown in the example."""
        fresh = bad & self.good
        count = int(fresh.sum())
        if not count:
            return
        row = int(fresh.argmax())
        shown = ", ".join(f"{name}={self._raw.table[name][row].as_py()!r}" for name in columns)
        self._note(reason, count, f"row {self._row_number(row)}: {shown}")
        self.good &= ~bad

    def reject_faults(self, faults: Sequence[tuple[str, BoolArray]], column: str) -> None:
        """:meth:`reject` for each fault that a parser of ``column`` found."""
        for reason, bad in faults:
            self.reject(bad, reason, [column])

    def _note(self, reason: str, count: int, example: str) -> None:
        self.bad_rows.append(BadRows(self._raw.file, reason, count, example))

    def _row_number(self, row: int) -> int:
        """Table row ``row``'s number in the file, whose malformed rows are not in the table."""
        if self._raw.numbers is not None:
            return int(self._raw.numbers[row])
        number = row + 1
        for malformed, _ in self._raw.malformed:
            if malformed > number:
                break
            number += 1
        return number


def repeats(columns: Sequence[NDArray[np.generic]], rows: NDArray[np.int64]) -> BoolArray:
    """Mark those of ``rows`` that equal an earlier one of them in every column."""
    found = np.zeros(len(columns[0]), dtype=bool)
    order = rows[np.lexsort([column[rows] for column in columns])]
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for column in columns:
        same &= column[order[1:]] == column[order[:-1]]
    found[order[1:][same]] = True
    return found
