"""Learning a schema's vocabularies and moments in one pass over the training part."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.errors import DataError
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.features import (
    Categorical,
    FeatureSchema,
    FittedSchema,
    Numeric,
    Sequence,
)
from recops_models.examples.lookup import Lookup, as_keys

_CAPACITY = 1 << 25


class SchemaFit:
    """Gathers what :class:`FittedSchema` holds, chunk by chunk.

    Memory is O(distinct values), and at most O(``capacity``) per table: past it the rarest values
    are forgotten. A value met in more than one of ``capacity`` rows is never lost.

    Args:
        schema: the features.
        capacity: distinct values kept per table.
    """

    def __init__(self, schema: FeatureSchema, *, capacity: int = _CAPACITY) -> None:
        self._schema = schema
        self._counts = {name: KeyCounts(capacity) for name in schema.tables}
        self._moments = {feature.name: Moments() for feature in schema.of_type(Numeric)}

    def update(self, columns: Mapping[str, pa.Array]) -> None:
        """Take a chunk of training rows; a sequence comes as its flat values.

        Raises:
            DataError: a categorical column is neither of integers nor of strings, or not always
                the same of the two.
        """
        for name, values in columns.items():
            feature = self._schema[name]
            try:
                if isinstance(feature, (Categorical, Sequence)):
                    self._counts[self._schema.table(name)].add(as_keys(values))
                elif isinstance(feature, Numeric):
                    self._moments[name].add(values)
            except DataError as error:
                raise DataError(f"column {name!r}: {error}") from None

    def finish(self) -> FittedSchema:
        """The vocabularies, without values that are rare by their table's owner.

        Raises:
            DataError: columns that share a table hold integers here and strings there.
        """
        return FittedSchema(
            self._schema,
            {name: self._lookup(name) for name in self._schema.tables},
            {name: moments.result() for name, moments in self._moments.items()},
        )

    def _lookup(self, name: str) -> Lookup:
        owner = self._schema.tables[name]
        share = owner.rare_share if isinstance(owner, Categorical) else 0.0
        try:
            return self._counts[name].lookup(owner.min_count, share)
        except DataError as error:
            raise DataError(f"the table of {name!r} {error}") from None


class KeyCounts:
    """How often each key came: exact up to ``capacity`` distinct keys, a lower bound beyond.

    Beyond, the count of the first key too many is taken off all: the mergeable summary of Misra
    and Gries (Agarwal et al., Mergeable Summaries, 2012). A count is too low by at most
    n / capacity of n keys met. Chunks wait until they are as large as what is held, so that n keys
    cost O(n log n).
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._keys: pa.Array | None = None
        self._counts: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._waiting: list[pa.StructArray] = []
        self._num_waiting = 0

    def add(self, keys: pa.Array) -> None:
        """Count a chunk of int64 or string keys; nulls are not counted."""
        chunk = pc.value_counts(keys.drop_null())
        self._waiting.append(chunk)
        self._num_waiting += len(chunk)
        held = 0 if self._keys is None else len(self._keys)
        if self._num_waiting > min(max(held, 1 << 16), self._capacity):
            self._merge()

    def lookup(self, min_count: int, rare_share: float = 0.0) -> Lookup:
        """The keys that came at least ``min_count`` times, without the rarest that together are at
        most ``rare_share`` of all; of equally frequent ones all are left out, or none.
        """
        self._merge()
        if self._keys is None:
            return Lookup(Vocabulary.of([]))
        levels, keys_at = np.unique(self._counts, return_counts=True)
        met = np.cumsum(levels * keys_at)
        rare = levels[met <= rare_share * met[-1]].max(initial=0)
        keys = self._keys.filter(pa.array(self._counts >= max(min_count, rare + 1)))
        if pa.types.is_string(keys.type):
            return Lookup(keys)
        return Lookup(Vocabulary(keys.to_numpy().copy()))

    def _merge(self) -> None:
        if not self._waiting:
            return
        values = [chunk.field("values") for chunk in self._waiting]
        held = [] if self._keys is None else [self._keys]
        if len({chunk.type for chunk in [*held, *values]}) > 1:
            raise DataError("holds both integers and strings")
        keys = pa.concat_arrays([*held, *values])
        counts = np.concatenate(
            [self._counts, *(chunk.field("counts").to_numpy() for chunk in self._waiting)]
        )
        order = pc.array_sort_indices(keys)
        encoded = keys.take(order).dictionary_encode()  # In order of appearance: ascending.
        total = np.bincount(
            encoded.indices.to_numpy(), weights=counts[order.to_numpy()].astype(np.float64)
        ).astype(np.int64)
        self._keys, self._counts = encoded.dictionary, total
        self._waiting, self._num_waiting = [], 0
        self._forget()

    def _forget(self) -> None:
        if self._keys is None or len(self._counts) <= self._capacity:
            return
        surplus = len(self._counts) - self._capacity - 1
        rest = self._counts - np.partition(self._counts, surplus)[surplus]
        self._keys, self._counts = self._keys.filter(pa.array(rest > 0)), rest[rest > 0]


class Moments:
    """Mean and standard deviation in float64, merged chunk by chunk (Chan et al., 1979)."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, values: pa.Array) -> None:
        """Take a chunk of numbers; nulls and NaN are missing."""
        numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return
        count, mean = self._count + len(numbers), float(numbers.mean())
        shift = mean - self._mean
        self._squares += float(((numbers - mean) ** 2).sum())
        self._squares += shift * shift * self._count * len(numbers) / count
        self._mean += shift * len(numbers) / count
        self._count = count

    def result(self) -> tuple[float, float]:
        """``(mean, deviation)``; a deviation of 0 comes as 1."""
        deviation = math.sqrt(self._squares / self._count) if self._count else 0.0
        return self._mean, deviation or 1.0
