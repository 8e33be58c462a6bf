"""Users' histories as ragged arrays, for vectorised access."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.vocabulary import Vocabulary

Int64Array = NDArray[np.int64]
AnyArray: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Histories:
    """U concatenated histories: history ``u`` is ``[offsets[u], offsets[u + 1])``, oldest first.

    Attributes:
        offsets: ``[U + 1]`` i64.
        items: ``[E]`` i64, item indices of a vocabulary; −1 marks an unknown item.
        rows: ``[E]`` i64, row of each event in its source table, for its other columns.
    """

    offsets: Int64Array
    items: Int64Array
    rows: Int64Array

    @classmethod
    def of(cls, interactions: pa.Table, users: Vocabulary, items: Vocabulary) -> Histories:
        """Return the histories of all ``users`` from interactions in time order.

        A user without events has an empty history.

        Raises:
            KeyError: an event's user is not in ``users``.
        """
        user = users.index(interactions["user_id"].to_numpy())
        rows = np.argsort(user, kind="stable")
        counts = np.bincount(user, minlength=len(users))
        indices = items.index(interactions["item_id"].to_numpy(), missing="mark")
        return cls(_offsets(counts), indices[rows], rows)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int64Array:
        """Number of events ``[U]`` in each history."""
        return np.diff(self.offsets)

    def take(self, users: NDArray[np.integer]) -> Histories:
        """Return the histories of ``users``, in that order."""
        lengths = self.lengths[users]
        offsets = _offsets(lengths)
        source = np.arange(offsets[-1]) + np.repeat(self.offsets[users] - offsets[:-1], lengths)
        return Histories(offsets, self.items[source], self.rows[source])

    def first(self) -> Histories:
        """Return histories with only the first event of each; no history may be empty."""
        starts = self.offsets[:-1]
        return Histories(np.arange(len(self) + 1), self.items[starts], self.rows[starts])

    def near(self, window: int) -> Iterator[tuple[Int64Array, Int64Array]]:
        """Yield pairs of different known items at most ``window`` events apart in one history.

        Each distance yields two arrays: the earlier items and the later items.
        """
        user = np.repeat(np.arange(len(self)), self.lengths)
        for distance in range(1, window + 1):
            first, second = self.items[:-distance], self.items[distance:]
            near = (user[:-distance] == user[distance:]) & (first != second)
            near &= (first >= 0) & (second >= 0)
            yield first[near], second[near]

    def last(self, length: int, *, padding: int = -1) -> tuple[Int64Array, Int64Array]:
        """Return the last items of each history: ``(items [U, length], lengths [U])``.

        Rows are padded on the right.
        """
        lengths = np.minimum(self.lengths, length)
        column = np.arange(length)
        index = (self.offsets[1:] - lengths)[:, None] + column
        inside = column < lengths[:, None]
        padded = np.full(index.shape, padding, dtype=np.int64)
        padded[inside] = self.items[index[inside]]
        return padded, lengths


def _offsets(lengths: Int64Array) -> Int64Array:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
