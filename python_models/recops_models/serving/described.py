"""What a data set tells of its users or items, by the ids that events and requests use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from recops_models.data.dataset import Dataset
from recops_models.data.histories import AnyArray, Int64Array
from recops_models.examples.click_schema import encoded, item_columns, user_columns
from recops_models.examples.features import FittedSchema
from recops_models.examples.lookup import UNKNOWN


class Described:
    """The values of features, a row an id and one more for ids that nothing is known of.

    Args:
        ids: ``[n]``, as text.
        values: by feature ``[n]``: rows of its table, or standard numbers.
    """

    def __init__(self, ids: Sequence[str], values: Mapping[str, AnyArray]) -> None:
        self._places = {name: place for place, name in enumerate(ids)}
        self._values = {
            name: np.append(column, column.dtype.type(UNKNOWN if column.dtype.kind in "iu" else 0))
            for name, column in values.items()
        }

    def __contains__(self, feature: str) -> bool:
        return feature in self._values

    def places(self, ids: Sequence[str]) -> Int64Array:
        """``[n]``: where each id stands; −1 is the place of what is unknown."""
        return np.array([self._places.get(name, -1) for name in ids], dtype=np.int64)

    def values(self, feature: str, places: Int64Array) -> AnyArray:
        """``[n]``: of :meth:`places`."""
        found: AnyArray = self._values[feature][places]
        return found


def described_items(dataset: Dataset, fitted: FittedSchema) -> Described:
    """The catalogue."""
    return Described(_ids(dataset.items, "item"), encoded(item_columns(dataset), fitted))


def described_users(dataset: Dataset, fitted: FittedSchema) -> Described:
    """The users whom the data set knows."""
    return Described(_ids(dataset.users, "user"), encoded(user_columns(dataset), fitted))


def _ids(table: pa.Table, entity: str) -> list[str]:
    keys = f"{entity}_key"
    if keys in table.column_names:
        found: list[str] = table[keys].to_pylist()
        return found
    return [str(number) for number in table[f"{entity}_id"].to_pylist()]
