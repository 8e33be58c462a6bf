"""Features of users or items, looked up by the ids that events and requests use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from recops_models.data.dataset import Dataset
from recops_models.data.histories import AnyArray, Int64Array
from recops_models.examples.entity_columns import item_columns, user_columns
from recops_models.examples.event_values import last_values_of_items
from recops_models.examples.features import FittedSchema
from recops_models.examples.lookup import UNKNOWN


class FeatureTable:
    """Encoded features by id, with one additional row for unknown ids.

    Args:
        ids: ``[n]``, ids as text.
        values: features ``[n]`` by name: embedding rows, or standardized numbers; ``[n, L]`` for
            lists.
    """

    def __init__(self, ids: Sequence[str], values: Mapping[str, AnyArray]) -> None:
        self._rows = {name: row for row, name in enumerate(ids)}
        self._values = {
            name: np.concatenate([column, _unknown(column)]) for name, column in values.items()
        }

    def __contains__(self, feature: str) -> bool:
        return feature in self._values

    def rows(self, ids: Sequence[str]) -> Int64Array:
        """Return the row ``[n]`` of each id; −1 is the row of unknown ids."""
        return np.array([self._rows.get(name, -1) for name in ids], dtype=np.int64)

    def values(self, feature: str, rows: Int64Array) -> AnyArray:
        """Return the values ``[n]`` of ``feature`` in ``rows``."""
        values: AnyArray = self._values[feature][rows]
        return values


def _unknown(column: AnyArray) -> AnyArray:
    """Return the value ``[1]`` or ``[1, L]`` of an unknown id."""
    value = np.zeros((1, *column.shape[1:]), dtype=column.dtype)
    if column.dtype.kind in "iu":
        value.reshape(-1)[0] = UNKNOWN
    return value


def item_features(dataset: Dataset, fitted: FittedSchema) -> FeatureTable:
    """Return the features of all items of the data set.

    An event column that differs between items has the value of each item's last event.
    """
    values: dict[str, AnyArray] = dict(fitted.encode(item_columns(dataset)))
    return FeatureTable(
        _ids(dataset.items, "item"), {**values, **last_values_of_items(dataset, fitted)}
    )


def user_features(dataset: Dataset, fitted: FittedSchema) -> FeatureTable:
    """Return the features of all users of the data set."""
    return FeatureTable(_ids(dataset.users, "user"), fitted.encode(user_columns(dataset)))


def _ids(table: pa.Table, entity: str) -> list[str]:
    keys = f"{entity}_key"
    if keys in table.column_names:
        ids: list[str] = table[keys].to_pylist()
        return ids
    return [str(number) for number in table[f"{entity}_id"].to_pylist()]
