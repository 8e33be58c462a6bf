"""Distinct ids of streamed events, and the number of events of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recops_models.data.vocabulary import distinct

_PENDING = 1 << 22


class DistinctIds:
    """Collector of distinct ids, 8 bytes of memory each, and a buffer."""

    def __init__(self) -> None:
        self._ids = np.empty(0, dtype=np.int64)
        self._buffer: list[NDArray[np.int64]] = []
        self._pending = 0

    def add(self, ids: NDArray[np.int64]) -> None:
        """Add ``ids [n]``."""
        self._buffer.append(distinct(ids))
        self._pending += len(self._buffer[-1])
        if self._pending >= max(_PENDING, len(self._ids)):
            self.ids()

    def ids(self) -> NDArray[np.int64]:
        """Return all distinct ids so far, ascending."""
        if self._buffer:
            self._ids = distinct(np.concatenate([self._ids, *self._buffer]))
            self._buffer, self._pending = [], 0
        return self._ids


class EventCounts:
    """Number of events of each id so far.

    Args:
        ids: all ids, ascending.
    """

    def __init__(self, ids: NDArray[np.int64]) -> None:
        self._ids = ids
        self.counts = np.zeros(len(ids), dtype=np.int64)

    def add(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the events of ``ids [n]``; return for each how many of its id came before it."""
        owner = np.searchsorted(self._ids, ids)
        order = np.argsort(owner, kind="stable")
        ordered = owner[order]
        start = np.searchsorted(ordered, ordered)
        positions = np.empty(len(ids), dtype=np.int64)
        positions[order] = self.counts[ordered] + np.arange(len(ids)) - start
        is_last = np.append(ordered[1:] != ordered[:-1], True)[: len(ids)]
        self.counts[ordered[is_last]] = positions[order][is_last] + 1
        return positions
