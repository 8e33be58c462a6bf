"""Buffers of training histories that are streamed from a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recops_models.data.histories import Histories
from recops_models.data.prefetch import ordered_map
from recops_models.examples.sequence_reader import SequencePiece, SequenceReader, concatenated

BUFFER_BYTES = 64 << 20
"""Size of the histories and windows at which a buffer is full."""


@dataclass(frozen=True, eq=False)
class HistoryBuffer:
    """Consecutive histories of a pass over a file.

    Attributes:
        histories: the histories; ``rows`` are those of ``events``.
        events: the event columns, one row per event.
        start: share of the file's rows before them, from 0 to 1.
        share: share of the file's rows in them.
    """

    histories: Histories
    events: pa.Table
    start: float
    share: float


class SequenceSource:
    """Training histories that are read from a Parquet file during iteration.

    Row groups come in random order. The rows of a buffer are for the caller to shuffle, so files
    with sorted rows should have many row groups. Memory holds two buffers, one being filled and one
    in use.

    Args:
        reader: reader of the file.
        buffer_bytes: size of the histories and their windows at which a buffer is full.
    """

    def __init__(self, reader: SequenceReader, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._reader, self._buffer_bytes = reader, buffer_bytes

    def buffers(
        self, window: int = 1, rng: np.random.Generator | None = None
    ) -> Iterator[HistoryBuffer]:
        """Yield all valid rows once.

        Args:
            window: T; windows of T + 1 positions are counted as memory of a buffer.
            rng: draws the order of row groups; None keeps it.
        """
        # A separate thread fills the next buffer while this one is in use.
        return ordered_map(lambda buffer: buffer, self._fill(window, rng), workers=1, ahead=1)

    def _fill(self, window: int, rng: np.random.Generator | None) -> Iterator[HistoryBuffer]:
        file = self._reader.file
        groups = None if rng is None else rng.permutation(file.num_row_groups).tolist()
        parts: list[SequencePiece] = []
        first = stop = size = 0
        for piece in self._reader.pieces(groups):
            parts.append(piece)
            stop += piece.num_rows
            size += _buffered_bytes(piece.histories, window) + piece.events.nbytes
            if size >= self._buffer_bytes:
                yield self._buffer(parts, first, stop)
                parts, first, size = [], stop, 0
        if parts:
            yield self._buffer(parts, first, stop)

    def _buffer(self, parts: list[SequencePiece], first: int, stop: int) -> HistoryBuffer:
        rows = self._reader.file.num_rows
        histories = concatenated([part.histories for part in parts])
        events = pa.concat_tables([part.events for part in parts])
        return HistoryBuffer(histories, events, first / rows, (stop - first) / rows)


def _buffered_bytes(histories: Histories, window: int) -> int:
    """Return the size of histories and of their windows' positions."""
    windows = -(-np.maximum(histories.lengths - 1, 0) // window)
    arrays = (histories.offsets, histories.items, histories.rows)
    return sum(each.nbytes for each in arrays) + 8 * (window + 1) * int(windows.sum())
