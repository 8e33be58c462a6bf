"""Fitting of a schema's vocabularies and moments in one pass over the training part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array
from recops_models.examples.bins import Quantiles
from recops_models.examples.features import (
    Categorical,
    FeatureSchema,
    FittedSchema,
    Numeric,
    Sequence,
)
from recops_models.examples.key_counts import KeyCounts
from recops_models.examples.lookup import Lookup
from recops_models.examples.training_columns import TrainingColumn

_CAPACITY = 1 << 25


def fit_schema(schema: FeatureSchema, training_columns: Iterable[TrainingColumn]) -> FittedSchema:
    """Return ``schema`` with the vocabularies and moments of its training columns.

    Raises:
        DataError: as in :meth:`SchemaFit.update` and :meth:`SchemaFit.finish`.
    """
    fit = SchemaFit(schema)
    for name, values, counts in training_columns:
        fit.update({name: values}, counts)
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
        self._schema, self._tables = schema, schema.tables
        self._counts = {
            name: KeyCounts(capacity) if owner.bins is None else Quantiles()
            for name, owner in self._tables.items()
        }
        self._moments = {
            feature.name: Moments() for feature in schema.features if isinstance(feature, Numeric)
        }

    def update(self, columns: Mapping[str, pa.Array], counts: Int64Array | None = None) -> None:
        """Add a chunk of training rows; a sequence is given as its flat values.

        Args:
            columns: feature name → values.
            counts: number of training rows that have each value, for categories without lists and
                bins; None: one.

        Raises:
            DataError: a categorical column holds other values than integers or strings, or both
                kinds.
        """
        for name, values in columns.items():
            feature = self._schema[name]
            try:
                if isinstance(feature, (Categorical, Sequence)):
                    table = feature.share_embedding or name
                    is_nested = self._tables[table].max_values is not None
                    keys = self._counts[table]
                    if counts is not None and isinstance(keys, KeyCounts):
                        keys.add(values, counts)
                    else:
                        keys.add(pc.list_flatten(values) if is_nested else values)
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
            {name: self._lookup(name) for name in self._tables},
            {name: moments.result() for name, moments in self._moments.items()},
        )

    def _lookup(self, name: str) -> Lookup:
        owner, counts = self._tables[name], self._counts[name]
        if isinstance(counts, Quantiles):
            assert owner.bins is not None
            return counts.lookup(owner.bins)
        share = owner.rare_share if isinstance(owner, Categorical) else 0.0
        try:
            return counts.lookup(owner.min_count, share)
        except DataError as error:
            raise DataError(f"the table of {name!r} {error}") from None


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
