"""Hash index from ids to positions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recops_models.data.histories import Int64Array

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Knuth, TAOCP 3, §6.4.
_HALF = np.uint64(32)


class HashIndex:
    """Positions of distinct ids, in buckets of a multiplicative hash.

    A look-up of n ids takes O(n) gathers; a binary search takes O(n log V). The buckets are
    concatenated; a bucket holds 0.25 to 0.5 ids on average::

        starts   0  0  2  3  3        bucket b is [starts[b], starts[b + 1])
        ids      [a  b][c]            sorted by bucket
        position [4  0][2]            position of each id in the argument

    Args:
        ids: ``[V]`` i64, distinct.
    """

    def __init__(self, ids: Int64Array) -> None:
        bits = len(ids).bit_length() + 1  # Two to four buckets per id.
        self._shift = np.uint64(64 - bits)
        bucket = self._hash(ids)
        self._positions = np.argsort(bucket, kind="stable")
        self._ids = ids[self._positions]
        counts = np.bincount(bucket, minlength=1 << bits)
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

    def find(self, ids: Int64Array) -> Int64Array:
        """Return the positions of ``ids [n]``; −1 for unknown ids."""
        if not len(self._ids):
            return np.full(len(ids), -1)
        bucket = self._hash(ids)
        probe = self._starts.take(bucket)
        hit = self._ids.take(probe, mode="clip") == ids
        position: Int64Array = np.where(hit, self._positions.take(probe, mode="clip"), -1)
        # Most ids are first in their bucket. The others advance together to the next entry.
        open_rows = np.flatnonzero(~hit)
        probe, stop = probe[open_rows] + 1, self._starts.take(bucket[open_rows] + 1)
        while len(open_rows):
            inside = probe < stop
            open_rows, probe, stop = open_rows[inside], probe[inside], stop[inside]
            hit = self._ids[probe] == ids[open_rows]
            position[open_rows[hit]] = self._positions[probe[hit]]
            open_rows, probe, stop = open_rows[~hit], probe[~hit] + 1, stop[~hit]
        return position

    def _hash(self, ids: Int64Array) -> NDArray[np.int64]:
        bits = np.ascontiguousarray(ids).view(np.uint64)
        mixed = (bits ^ (bits >> _HALF)) * _MULTIPLIER
        bucket: NDArray[np.int64] = (mixed >> self._shift).astype(np.int64)
        return bucket
