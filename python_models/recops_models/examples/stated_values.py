"""Values of event columns that a caller states for requests: the device, or today's prices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from recops_models.data.histories import AnyArray, Int64Array
from recops_models.examples.event_features import request_feature
from recops_models.examples.features import FittedSchema


@dataclass(frozen=True, eq=False)
class StatedValues:
    """Values of event columns at the moment of a request.

    Attributes:
        columns: ``[n]``, event columns.
        users: ``[n]`` i64, index of the user of each row; None: a row holds for all users.
        items: ``[n]`` i64, index of the item of each row; None: a row holds for all items. Each row
            has another user or another item.
    """

    columns: pa.Table
    users: Int64Array | None = None
    items: Int64Array | None = None


class StatedFeatures:
    """Features of stated values, as rows in the tables of a model.

    Args:
        stated: the values.
        fitted: fitted schema of the model, which has a feature for each column.
        num_items: number of items.

    Complexity:
        O(n log n) once; O(N) per request.
    """

    def __init__(self, stated: StatedValues, fitted: FittedSchema, num_items: int) -> None:
        self._rows = feature_rows(stated.columns, fitted)
        self._num_items, self._items = num_items, stated.items
        self._order = self._sorted_users = None
        if stated.users is not None:
            self._order = np.argsort(stated.users, kind="stable")
            self._sorted_users = stated.users[self._order]

    def replace(self, features: dict[str, Tensor], user: int, shown: Int64Array) -> None:
        """Replace the values of ``features`` that are stated for ``user``.

        Args:
            features: feature name → rows ``[n]`` of the items ``shown``.
            user: index of the user.
            shown: ``[n]`` i64, indices of the items.
        """
        own = self._of_user(user)
        if not len(own):
            return
        if self._items is None:
            at = np.full(len(shown), own[0])
        else:
            row_of_item = np.full(self._num_items, -1)
            row_of_item[self._items[own]] = own
            at = row_of_item[shown]
        is_stated = torch.from_numpy(at >= 0)
        for name, rows in self._rows.items():
            values = torch.from_numpy(rows[at])
            stated = is_stated.view(-1, *[1] * (values.dim() - 1))
            features[name] = torch.where(stated, values, features[name])

    def _of_user(self, user: int) -> Int64Array:
        """Return the rows that hold for a user."""
        if self._order is None or self._sorted_users is None:
            return np.arange(len(next(iter(self._rows.values()))))
        first, end = np.searchsorted(self._sorted_users, [user, user + 1])
        return self._order[first:end]


def feature_rows(columns: pa.Table, fitted: FittedSchema) -> dict[str, AnyArray]:
    """Return request feature → rows ``[n]`` i64 of event columns; ``[n, L]`` of lists."""
    names = columns.column_names
    return {
        request_feature(name): fitted.rows(request_feature(name), columns[name]).astype(np.int64)
        for name in names
    }
