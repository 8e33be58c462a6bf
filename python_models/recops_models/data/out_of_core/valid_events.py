"""Valid rows of interactions on disk, with the counts of the rows that are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.checks import RawTable, RowCheck
from recops_models.data.events import FIRST
from recops_models.data.histories import AnyArray
from recops_models.data.out_of_core.counts import DistinctIds, EventCounts
from recops_models.data.out_of_core.partitions import Partitions
from recops_models.data.out_of_core.sorted_runs import read_tables
from recops_models.data.report import BadRows

_ROW, _TIME = "row", "timestamp"


class RowCounts:
    """Counts of read and bad rows over all blocks of a file, as of one :class:`RowCheck`."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.rows_read = 0
        self._malformed: dict[str, BadRows | None] = {}
        self._checked: dict[str, BadRows | None] = {}

    def add(self, raw: RawTable, check: RowCheck) -> None:
        """Add the rows of a block; ``check`` is the check of its rows without malformed ones."""
        self.rows_read += raw.table.num_rows + len(raw.malformed)
        for number, reason in raw.malformed:
            self._count(self._malformed, BadRows(self._file, reason, 1, f"row {number}"))
        for reason in check.reasons:
            self._checked.setdefault(reason, None)
        for bad in check.bad_rows:
            self._count(self._checked, bad)

    def add_last(self, bad: BadRows) -> None:
        """Add rows that a check of all rows found."""
        self._count(self._checked, bad)

    @property
    def bad_rows(self) -> tuple[BadRows, ...]:
        """Bad rows by reason, with the first example: unreadable rows, then in order of checks."""
        every = (*self._malformed.values(), *self._checked.values())
        return tuple(bad for bad in every if bad is not None)

    def _count(self, counts: dict[str, BadRows | None], bad: BadRows) -> None:
        known = counts.get(bad.reason)
        total = bad.count + (known.count if known else 0)
        example = known.example if known else bad.example
        counts[bad.reason] = BadRows(bad.file, bad.reason, total, example)


class ValidEvents:
    """Valid interactions on disk, in the order of the file.

    Args:
        folder: existing folder for the files.
        rows: estimate of the number of rows.

    Attributes:
        users: distinct user ids.
        items: distinct item ids.
        pairs: number of distinct (user, item) pairs; known after :meth:`find_repetitions`.
        unsorted: number of events that are earlier than the event before; known after
            :meth:`tables` has yielded all.
        kept: number of events; known after :meth:`tables` has yielded all.
        user_counts: number of events of each user; known after :meth:`tables` has yielded all.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self._path = folder / "valid"
        self._file = pa.OSFile(str(self._path), "wb")
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._partitions = Partitions(folder, rows)
        self.users, self.items = DistinctIds(), DistinctIds()
        self._repeated = np.zeros(0, dtype=np.uint8)
        self._rows, self._last = 0, np.iinfo(np.int64).min
        self.is_sorted = True
        self.pairs = self.unsorted = self.kept = 0
        self.user_counts = EventCounts(self.users.ids())

    def add(self, read: dict[str, AnyArray], extra: pa.Table, good: NDArray[np.bool_]) -> None:
        """Append the ``good`` rows of a block.

        Args:
            read: parsed columns, ``[n]`` each.
            extra: columns that are copied, of n rows.
            good: ``[n]``, the valid rows.
        """
        rows = np.flatnonzero(good)
        columns = {name: values[rows] for name, values in read.items()}
        numbers = self._rows + rows
        self._rows += len(good)
        names = [*(name for name in FIRST if name in columns), *columns]
        table = pa.table({name: columns[name] for name in names} | {_ROW: numbers})
        copied = extra.take(pa.array(rows))
        for name in copied.column_names:
            table = table.append_column(name, copied[name])
        if self._writer is None:
            self._schema = table.schema
            self._writer = pa.ipc.new_file(self._file, table.schema)
        self._writer.write_table(table.combine_chunks())
        self._partitions.add(columns, numbers)
        self.users.add(columns["user_id"].astype(np.int64))
        self.items.add(columns["item_id"].astype(np.int64))
        if _TIME in columns and len(rows):
            times = columns[_TIME]
            self.is_sorted &= bool(times[0] >= self._last and (times[1:] >= times[:-1]).all())
            self._last = times[-1]

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns of :meth:`tables`."""
        return self._shaped(self._schema.empty_table(), np.empty(0, dtype=np.int64)).schema

    def find_repetitions(self, *, whole_rows: bool) -> tuple[int, int]:
        """Find events that equal an earlier one, and leave them out.

        Args:
            whole_rows: False: equal events are different events; only pairs are counted.

        Returns:
            number of repeated events, and the row of the first one.
        """
        if self._writer is not None:
            self._writer.close()
        self._file.close()
        self._repeated = np.zeros(-(-self._rows // 8), dtype=np.uint8)
        total, first = 0, self._rows
        for repetition in self._partitions.repetitions(whole_rows=whole_rows):
            rows = repetition.rows
            np.bitwise_or.at(self._repeated, rows >> 3, np.uint8(1) << (rows & 7).astype(np.uint8))
            total += len(rows)
            first = min(first, int(rows.min(initial=self._rows)))
            self.pairs += repetition.pairs
        return total, first

    def tables(self) -> Iterator[pa.Table]:
        """Yield the events in the order of the file, with their positions if they have no times."""
        self.user_counts = EventCounts(self.users.ids())
        last = np.iinfo(np.int64).min
        for table in read_tables(self._path):
            rows = table[_ROW].to_numpy()
            is_repeated = self._repeated[rows >> 3] >> (rows & 7).astype(np.uint8) & 1
            if is_repeated.any():
                table = table.take(pa.array(np.flatnonzero(is_repeated == 0)))
            events = self._shaped(table, self.user_counts.add(table["user_id"].to_numpy()))
            times = events[_TIME].to_numpy()
            if len(times):
                self.unsorted += int((np.diff(times) < 0).sum()) + int(times[0] < last)
                last = times[-1]
            self.kept += len(times)
            yield events
        self._path.unlink()

    @staticmethod
    def _shaped(table: pa.Table, positions: NDArray[np.int64]) -> pa.Table:
        events = table.drop_columns([_ROW])
        if _TIME not in events.column_names:
            events = events.add_column(2, _TIME, pa.array(positions))
        return events
