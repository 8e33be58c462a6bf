"""Histories in a Parquet file of sequences, numbered by a catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recops_models.data.columns import BoolArray
from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array
from recops_models.data.prefetch import ordered_map
from recops_models.data.splits import Examples
from recops_models.examples.fault_counts import Fault, FaultCounts
from recops_models.examples.lookup import UNKNOWN, Lookup, as_keys
from recops_models.examples.row_faults import list_lengths, nulls
from recops_models.examples.sequence_file import SequenceFile

_FIRST = Lookup(pa.array([], pa.string())).cardinality
"""Row of a :class:`Lookup` with the first known value."""


@dataclass(frozen=True, eq=False)
class SequencePiece:
    """Valid rows of one piece of a file.

    Attributes:
        num_rows: number of rows that were read, bad ones included.
        users: ``[n]``, ids of the users.
        histories: n histories; ``rows`` are those of ``events``.
        events: the event columns, one row per event.
    """

    num_rows: int
    users: pa.Array
    histories: Histories
    events: pa.Table


@dataclass(frozen=True, eq=False)
class HeldOutPiece:
    """Held-out rows of one piece of a file.

    Attributes:
        users: ``[n]``, ids of the users.
        examples: their histories and targets; ``rows`` are those of ``events``.
        events: the event columns, one row per event.
    """

    users: pa.Array
    examples: Examples
    events: pa.Table


@dataclass(frozen=True)
class SequenceCounts:
    """Counts of one pass over a file.

    Attributes:
        sequences: number of valid rows.
        events: number of their events with an item of the catalogue.
        notes: remarks on bad rows and unknown items.
    """

    sequences: int
    events: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SequenceReader:
    """Reader of the histories in one file.

    Events with an item that the catalogue lacks are left out. A row counts as bad, under its first
    fault:

    - the user or the list is missing, or the list has a null;
    - a list of an event column is missing, has a null, or has another length;
    - the last event of a held-out row has an unknown item, or no event is before it.

    Attributes:
        file: the file.
        items: the catalogue.
        is_held_out: whether the last event of each row is to be predicted.
        events: event columns to read.
    """

    file: SequenceFile
    items: Lookup
    is_held_out: bool = False
    events: tuple[str, ...] = ()

    def pieces(
        self,
        row_groups: Iterable[int] | None = None,
        *,
        faults: FaultCounts | None = None,
        unknown: FaultCounts | None = None,
    ) -> Iterator[SequencePiece]:
        """Yield the valid rows of the given row groups in order, read ahead by a thread.

        Args:
            row_groups: numbers of row groups; None: all.
            faults: counts the bad rows, if all row groups are read.
            unknown: counts the rows with unknown items, if all row groups are read.

        Raises:
            DataError: the file is damaged.
        """
        faults = faults or FaultCounts(self.file.path.name)
        unknown = unknown or FaultCounts(self.file.path.name)
        return ordered_map(
            lambda piece: self._read(piece, faults, unknown),
            self.file.pieces(row_groups, self.events),
            workers=1,
        )

    def counts(self) -> SequenceCounts:
        """Read the file once, and count its rows.

        Raises:
            DataError: the file is damaged, or has no valid row.
        """
        faults, unknown = (FaultCounts(self.file.path.name) for _ in range(2))
        sequences = events = 0
        for piece in self.pieces(faults=faults, unknown=unknown):
            sequences += len(piece.histories)
            events += len(piece.histories.items)
        notes = [str(bad) for bad in (*faults.bad_rows, *unknown.bad_rows)]
        if not sequences:
            reasons = "; ".join(notes) or "the file is empty"
            raise DataError(f"{self.file.path}: no valid row is left ({reasons})")
        return SequenceCounts(sequences, events, tuple(notes))

    def examples(self, rows: Int64Array | None = None) -> Iterator[HeldOutPiece]:
        """Yield the histories of each piece, with the last event as target.

        Args:
            rows: ascending numbers of valid rows to yield; None: all.
        """
        start = 0
        for piece in self.pieces():
            stop = start + len(piece.histories)
            own = np.arange(start, stop)
            if rows is not None:
                own = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
            if len(own):
                chosen = own - start
                histories = piece.histories.take(chosen)
                examples = Examples(own, *_without_last(histories))
                yield HeldOutPiece(piece.users.take(pa.array(chosen)), examples, piece.events)
            start = stop

    def _read(
        self, piece: pa.RecordBatch, faults: FaultCounts, unknown: FaultCounts
    ) -> SequencePiece:
        column = piece[self.file.items]
        lengths = list_lengths(column)
        row = self.items.rows(as_keys(column.flatten()))
        owner = np.repeat(np.arange(len(lengths)), lengths)
        is_known = row > UNKNOWN
        good = faults.valid(piece, self._faults(piece, lengths, owner, is_known))
        lacks = np.bincount(owner[~is_known], minlength=len(lengths)) > 0
        reason = "has items that the catalogue lacks, which are left out"
        unknown.valid(piece, [(self.file.items, reason, lacks & good)])
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        every = Histories(offsets, np.where(is_known, row - _FIRST, -1), np.arange(len(row)))
        valid = every.take(np.flatnonzero(good))
        lists = piece if good.all() else piece.filter(pa.array(good))
        histories = known_items(Histories(valid.offsets, valid.items, np.arange(len(valid.items))))
        columns = {name: lists[name].flatten() for name in self.events}
        events = pa.table(columns).take(pa.array(histories.rows)) if columns else pa.table({})
        return SequencePiece(
            piece.num_rows,
            as_keys(lists[self.file.user]),
            Histories(histories.offsets, histories.items, np.arange(len(histories.items))),
            events,
        )

    def _faults(
        self, piece: pa.RecordBatch, lengths: Int64Array, owner: Int64Array, is_known: BoolArray
    ) -> Iterator[Fault]:
        """Yield the faults of a piece.

        Args:
            piece: the rows.
            lengths: ``[n]``, lengths of the lists.
            owner: ``[E]``, row of each event.
            is_known: ``[E]``, whether the catalogue has its item.
        """
        user, items = self.file.user, self.file.items
        column = piece[items]
        yield user, "is missing", nulls(piece[user])
        yield items, "is null", nulls(column)
        yield (
            items,
            "has a null",
            np.bincount(owner[nulls(column.flatten())], minlength=len(lengths)) > 0,
        )
        for name in self.events:
            other = piece[name]
            yield name, "is null", nulls(other)
            wrong = list_lengths(other) != lengths
            yield name, f"differs in length from {items}", wrong
            owners = np.repeat(np.arange(len(lengths)), list_lengths(other))
            null_owners = owners[nulls(other.flatten())]
            yield name, "has a null", np.bincount(null_owners, minlength=len(lengths)) > 0
        if self.is_held_out:
            yield items, "has fewer than two items", lengths < 2
            last = np.cumsum(lengths) - 1
            ends_known = np.zeros(len(lengths), dtype=bool)
            ends_known[lengths > 0] = is_known[last[lengths > 0]]
            yield items, "ends with an item that the catalogue lacks", ~ends_known
            num_known = np.bincount(owner[is_known], minlength=len(lengths))
            yield items, "has no known item before the last one", num_known < 2


def known_items(histories: Histories) -> Histories:
    """Return the histories without events of unknown items."""
    is_known = histories.items >= 0
    if is_known.all():
        return histories
    ends = np.concatenate([[0], np.cumsum(is_known)])
    return Histories(ends[histories.offsets], histories.items[is_known], histories.rows[is_known])


def concatenated(parts: list[Histories]) -> Histories:
    """Return the histories of all ``parts`` in order; ``rows`` are positions in ``items``."""
    lengths = [part.lengths for part in parts]
    items = np.concatenate([part.items for part in parts])
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return Histories(offsets, items, np.arange(len(items)))


def _without_last(histories: Histories) -> tuple[Histories, Histories]:
    """Split off the last event of each history; none may be empty."""
    last = histories.offsets[1:] - 1
    is_before = np.ones(len(histories.items), dtype=bool)
    is_before[last] = False
    offsets = histories.offsets - np.arange(len(histories) + 1)
    before = Histories(offsets, histories.items[is_before], histories.rows[is_before])
    target = Histories(np.arange(len(histories) + 1), histories.items[last], histories.rows[last])
    return before, target
