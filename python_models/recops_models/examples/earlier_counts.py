"""Numbers of events before each event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops_models.data.histories import Int64Array
from recops_models.examples.compact import IndexArray, smallest_type

_ROWS = 1 << 20
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class EarlierCounts:
    """Counts of the events of each event's user, or item, before the event.

    Attributes:
        events: ``[E]``, number of earlier events.
        liked: ``[E]``, number of earlier liked events.
        liked_in_all: ``[U]`` i64, number of liked events of each user or item.
        events_in_all: ``[U]`` i64, number of events of each user or item.
    """

    events: IndexArray
    liked: IndexArray
    events_in_all: Int64Array
    liked_in_all: Int64Array

    @classmethod
    def of(
        cls,
        entity: IndexArray,
        num_entities: int,
        liked: NDArray[np.bool_],
        order: Int64Array | None,
    ) -> EarlierCounts:
        """Count the events. Takes O(E log E) time; memory holds the result and blocks of a million.

        Args:
            entity: ``[E]``, index of the user or item of each event.
            num_entities: U, number of users or items.
            liked: ``[E]``.
            order: ``[E]``, the events in time order; None: they are in time order.
        """
        totals = np.bincount(entity, minlength=num_entities)
        liked_totals = np.bincount(entity[liked], minlength=num_entities)
        events = np.empty(len(entity), dtype=smallest_type(int(totals.max(initial=0))))
        before = np.empty(len(entity), dtype=smallest_type(int(liked_totals.max(initial=0))))
        seen, seen_liked = np.zeros_like(totals), np.zeros_like(totals)
        for start in range(0, len(entity), _ROWS):
            rows = np.arange(start, min(start + _ROWS, len(entity)))
            rows = rows if order is None else order[rows]
            rows = rows[np.argsort(entity[rows], kind="stable")]
            owner, is_liked = entity[rows], liked[rows].astype(np.int64)
            is_first = np.append(True, owner[1:] != owner[:-1])
            first = np.flatnonzero(is_first)
            group = np.cumsum(is_first) - 1
            likes = np.cumsum(is_liked) - is_liked
            events[rows] = seen[owner] + np.arange(len(rows)) - first[group]
            before[rows] = seen_liked[owner] + likes - likes[first][group]
            owners = owner[first]
            seen[owners] += np.diff(first, append=len(rows))
            seen_liked[owners] += np.add.reduceat(is_liked, first)
        return cls(events, before, totals, liked_totals)


class RunningTotal:
    """Number of marked events before each position, in one byte per event.

    A total is the sum up to the start of a block of 256 events, and the sum within the block.

    Args:
        marks: ``[E]``.
    """

    def __init__(self, marks: NDArray[np.bool_]) -> None:
        blocks = -(-(len(marks) + 1) // _BLOCK)
        padded = np.zeros(blocks * _BLOCK, dtype=np.uint8)
        padded[: len(marks)] = marks
        within = padded.reshape(blocks, _BLOCK)
        totals = within.sum(axis=1, dtype=np.int64)
        self._before_block = np.cumsum(totals) - totals
        # At most 255 marks precede a position within its block.
        sums = np.cumsum(within[:, :-1], axis=1, dtype=np.uint8)
        self._within = np.zeros_like(within)
        self._within[:, 1:] = sums

    def before(self, positions: Int64Array) -> Int64Array:
        """Return the number of marked events before positions in [0, E]."""
        block, offset = positions // _BLOCK, positions % _BLOCK
        total: Int64Array = self._before_block[block] + self._within[block, offset]
        return total
