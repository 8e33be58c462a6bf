"""Counts of a table's keys, of which the frequent ones become its vocabulary."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.lookup import Lookup, as_keys


class KeyCounts:
    """Counts of keys: exact up to ``capacity`` distinct keys, lower bounds beyond.

    Beyond the capacity C, the (C + 1)-th largest count is subtracted from all counts: the mergeable
    summary of Misra and Gries (Agarwal et al., Mergeable Summaries, 2012). Of n keys, a count is
    too low by at most n / C. Chunks are merged only when they are as large as the summary, so that
    n keys cost O(n log n).
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._keys: pa.Array | None = None
        self._counts: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._pending: list[pa.StructArray] = []
        self._num_pending = 0

    def add(self, values: pa.Array, counts: Int64Array | None = None) -> None:
        """Count a chunk of integers or strings; nulls are not counted.

        Args:
            values: ``[n]``.
            counts: ``[n]``, occurrences of each value; None: one.

        Raises:
            DataError: see :func:`~recops_models.examples.lookup.as_keys`.
        """
        keys = as_keys(values)
        if counts is None:
            chunk = pc.value_counts(keys.drop_null())
        else:
            is_counted = pa.array(counts > 0)
            weighted = pa.StructArray.from_arrays([keys, pa.array(counts)], ["values", "counts"])
            chunk = weighted.filter(pc.and_(is_counted, keys.is_valid()))
        self._pending.append(chunk)
        self._num_pending += len(chunk)
        num_keys = 0 if self._keys is None else len(self._keys)
        if self._num_pending > min(max(num_keys, 1 << 16), self._capacity):
            self._merge()

    def lookup(self, min_count: int, rare_share: float = 0.0) -> Lookup:
        """Return the keys with at least ``min_count`` occurrences, without the rarest ones.

        The rarest keys together have at most ``rare_share`` of all occurrences. Keys with the same
        count are either all kept or all left out.
        """
        self._merge()
        if self._keys is None:
            return Lookup(Vocabulary.of([]))
        levels, keys_at = np.unique(self._counts, return_counts=True)
        occurrences = np.cumsum(levels * keys_at)
        rare = levels[occurrences <= rare_share * occurrences[-1]].max(initial=0)
        keys = self._keys.filter(pa.array(self._counts >= max(min_count, rare + 1)))
        if pa.types.is_string(keys.type):
            return Lookup(keys)
        return Lookup(Vocabulary(keys.to_numpy().copy()))

    def _merge(self) -> None:
        if not self._pending:
            return
        values = [chunk.field("values") for chunk in self._pending]
        if self._keys is not None:
            values.insert(0, self._keys)
        if len({chunk.type for chunk in values}) > 1:
            raise DataError("holds both integers and strings")
        keys = pa.concat_arrays(values)
        counts = np.concatenate(
            [self._counts, *(chunk.field("counts").to_numpy() for chunk in self._pending)]
        )
        order = pc.array_sort_indices(keys)
        encoded = keys.take(order).dictionary_encode()  # The dictionary is ascending.
        total = np.bincount(
            encoded.indices.to_numpy(), weights=counts[order.to_numpy()].astype(np.float64)
        ).astype(np.int64)
        self._keys, self._counts = encoded.dictionary, total
        self._pending, self._num_pending = [], 0
        self._shrink()

    def _shrink(self) -> None:
        if self._keys is None or len(self._counts) <= self._capacity:
            return
        surplus = len(self._counts) - self._capacity - 1
        reduced = self._counts - np.partition(self._counts, surplus)[surplus]
        self._keys, self._counts = self._keys.filter(pa.array(reduced > 0)), reduced[reduced > 0]
