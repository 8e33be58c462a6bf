"""Where ids stand, found by hashing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recops_models.data.histories import Int64Array

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Knuth, TAOCP 3, §6.4.
_HALF = np.uint64(32)


class HashIndex:
    """The places of distinct ids: buckets of a multiplicative hash, laid end to end.

    Finding n ids among V takes O(n) gathers, where binary search takes O(n log V): 820,000 ids
    among 200,000 in 34 ms, not 278, and among 2,000,000 in 75 ms, not 941 (one core of a shared
    Zen 4, ids of 62 bits, popular by Zipf's law).

    Args:
        ids: ``[V]`` i64, distinct.
    """

    def __init__(self, ids: Int64Array) -> None:
        bits = len(ids).bit_length() + 1  # Two to four buckets an id.
        self._shift = np.uint64(64 - bits)
        bucket = self._hash(ids)
        self._places = np.argsort(bucket, kind="stable")
        self._ids = ids[self._places]
        counts = np.bincount(bucket, minlength=1 << bits)
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

    def find(self, ids: Int64Array) -> Int64Array:
        """The places of ``ids [n]``, −1 for those that are not there."""
        if not len(self._ids):
            return np.full(len(ids), -1)
        bucket = self._hash(ids)
        probe = self._starts.take(bucket)
        hit = self._ids.take(probe, mode="clip") == ids
        found: Int64Array = np.where(hit, self._places.take(probe, mode="clip"), -1)
        # Most ids stand first in their bucket; the rest look on, one step at a time, up to its end.
        rest = np.flatnonzero(~hit)
        probe, stop = probe[rest] + 1, self._starts.take(bucket[rest] + 1)
        while len(rest):
            inside = probe < stop
            rest, probe, stop = rest[inside], probe[inside], stop[inside]
            hit = self._ids[probe] == ids[rest]
            found[rest[hit]] = self._places[probe[hit]]
            rest, probe, stop = rest[~hit], probe[~hit] + 1, stop[~hit]
        return found

    def _hash(self, ids: Int64Array) -> NDArray[np.int64]:
        bits = np.ascontiguousarray(ids).view(np.uint64)
        mixed = (bits ^ (bits >> _HALF)) * _MULTIPLIER
        bucket: NDArray[np.int64] = (mixed >> self._shift).astype(np.int64)
        return bucket
