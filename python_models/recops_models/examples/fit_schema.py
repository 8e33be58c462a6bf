"""Fitting of a schema's vocabularies and moments in one pass over the training part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

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


def fit_schema(
    schema: FeatureSchema, training_columns: Iterable[tuple[str, pa.Array]]
) -> FittedSchema:
    """Return ``schema`` with the vocabularies and moments of its training columns.

    Raises:
        DataError: as in :meth:`SchemaFit.update` and :meth:`SchemaFit.finish`.
    """
    fit = SchemaFit(schema)
    for name, values in training_columns:
        fit.update({name: values})
    return fit.finish()


class SchemaFit:
    """Incremental fit of a :class:`FittedSchema` to chunks of training rows.

    Memory per table is O(min(distinct values, ``capacity``)). Beyond the capacity, the rarest
    values are dropped. A value with a share above 1 / ``capacity`` of the rows is never dropped.

    Args:
        schema: the features.
        capacity: maximum number of distinct values per table.
    """

    def __init__(self, schema: FeatureSchema, *, capacity: int = _CAPACITY) -> None:
        self._schema = schema
        self._counts = {name: KeyCounts(capacity) for name in schema.tables}
        self._moments = {
            feature.name: Moments() for feature in schema.features if isinstance(feature, Numeric)
        }

    def update(self, columns: Mapping[str, pa.Array]) -> None:
        """Add a chunk of training rows; a sequence is given as its flat values.

        Raises:
            DataError: a categorical column holds other values than integers or strings, or both
                kinds.
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
        """Return the fitted schema, without the rare values of each table.

        Raises:
            DataError: one column of a shared table holds integers and another one strings.
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

    def add(self, keys: pa.Array) -> None:
        """Count a chunk of int64 or string keys; nulls are not counted."""
        chunk = pc.value_counts(keys.drop_null())
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


class Moments:
    """Mean and standard deviation in float64, merged chunk by chunk (Chan et al., 1979)."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, values: pa.Array) -> None:
        """Add a chunk of numbers; nulls, NaN and infinite values are skipped."""
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
        """Return ``(mean, deviation)``; a deviation of 0 is returned as 1."""
        deviation = math.sqrt(self._squares / self._count) if self._count else 0.0
        return self._mean, deviation or 1.0
