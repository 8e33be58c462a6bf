"""Users, items and filters of a call, as indices of a model's catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from recops_models.data import columns as id_columns
from recops_models.data.columns import row_of
from recops_models.data.dataset import Dataset, entity_keys
from recops_models.data.errors import DataError
from recops_models.data.frames import Frame, IdsLike, is_frame
from recops_models.data.from_frames import canonical
from recops_models.data.histories import Int64Array
from recops_models.training.device import array


@dataclass(frozen=True)
class Reader:
    """Reader of the arguments of one call.

    Attributes:
        call: name of the function, for errors.
        dataset: the catalogue.
    """

    call: str
    dataset: Dataset

    def table(self, frame: Frame, name: str, *required: str) -> pa.Table:
        """Return a frame with canonical column names.

        Raises:
            DataError: it is no table, or lacks a column.
        """
        table = canonical(frame, f"{self.call}: {name}", self.dataset.columns)
        for column in required:
            if column not in table.column_names:
                available = ", ".join(table.column_names) or "none"
                raise DataError(
                    f"{self.call}: {name} has no column {column!r} (columns: {available})"
                )
        return table

    def ids(self, values: IdsLike, name: str, column: str) -> pa.ChunkedArray:
        """Return ids as text.

        Args:
            values: one id, an iterable or an array of ids, or a frame with the column.
            name: name of the argument.
            column: ``user_id`` or ``item_id``.

        Raises:
            DataError: an id is missing or is neither text nor a number.
        """
        if is_frame(values):
            return id_columns.id_text(self.table(values, name, column)[column])
        if isinstance(values, (str, int, np.integer)):
            values = [values]
        if isinstance(values, Tensor):
            values = array(values)
        try:
            listed = _listed(values)
            chunk = listed if isinstance(listed, (pa.Array, pa.ChunkedArray)) else pa.array(listed)
        except (pa.ArrowException, TypeError) as error:
            raise DataError(
                f"{self.call}: {name} must be ids of one type, got {type(values).__name__}"
            ) from error
        ids = chunk if isinstance(chunk, pa.ChunkedArray) else pa.chunked_array([chunk])
        if pa.types.is_null(ids.type):
            ids = ids.cast(pa.string())
        if pa.types.is_dictionary(ids.type):
            ids = ids.cast(pa.string())
        if pa.types.is_nested(ids.type):
            raise DataError(f"{self.call}: {name} must be ids, got lists")
        return id_columns.id_text(ids)

    def users(self, values: IdsLike) -> Int64Array:
        """Return the indices ``[U]`` of users, without repetitions, in the order of mention.

        Raises:
            DataError: a user is unknown.
        """
        asked = pc.unique(self.ids(values, "users", "user_id"))
        return self.rows(pa.chunked_array([asked]), "users", "user")

    def rows(self, asked: pa.ChunkedArray, name: str, entity: str) -> Int64Array:
        """Return the row of each id in the data's users or items.

        Raises:
            DataError: an id is unknown.
        """
        keys = entity_keys(self.dataset, entity)
        rows = row_of(keys, asked)
        if (rows < 0).any():
            row = int((rows < 0).argmax())
            hint = "; histories= takes new users" if entity == "user" else ""
            example = f", such as {keys[0].as_py()!r}" if len(keys) else ""
            raise DataError(
                f"{self.call}: {name}: no {entity} {asked[row].as_py()!r} among "
                f"{len(keys):,}{example}{hint}"
            )
        return rows

    def known_items(self, asked: pa.ChunkedArray) -> Tensor:
        """Return the indices of those ids that are in the catalogue."""
        rows = row_of(entity_keys(self.dataset, "item"), asked)
        return torch.from_numpy(rows[rows >= 0])

    def items_of_users(self, values: IdsLike, name: str, keys: pa.ChunkedArray) -> list[Tensor]:
        """Return the items of each of U users.

        Args:
            values: item ids for all users, or a frame with ``user_id`` and ``item_id``. Unknown
                items are skipped.
            name: name of the argument.
            keys: ``[U]``, ids of the users.

        Raises:
            DataError: a column is missing, or ids are unreadable.
        """
        table = self.table(values, name, "item_id") if is_frame(values) else None
        if table is None or "user_id" not in table.column_names:
            items = self.known_items(self.ids(values, name, "item_id"))
            return [items] * len(keys)
        user, item = self.pairs(table, keys)
        known = (user >= 0) & (item >= 0)
        return grouped(user[known], torch.from_numpy(item[known]), len(keys))

    def pairs(self, table: pa.Table, keys: pa.ChunkedArray) -> tuple[Int64Array, Int64Array]:
        """Return the rows of users in ``keys`` and of items in the catalogue; −1: not there."""
        return (
            row_of(keys, table["user_id"]),
            row_of(entity_keys(self.dataset, "item"), table["item_id"]),
        )


def grouped(group: Int64Array, values: Tensor, groups: int) -> list[Tensor]:
    """Return the ``values [n]`` of each group, in their order."""
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group, minlength=groups)
    return list(values[torch.from_numpy(order)].split(counts.tolist()))


def _listed(values: IdsLike) -> IdsLike:
    """Return iterables without a length, such as sets and generators, as lists."""
    if isinstance(values, (list, tuple, np.ndarray, pa.Array, pa.ChunkedArray)):
        return values
    if hasattr(values, "to_arrow"):  # polars
        return values.to_arrow()
    if hasattr(values, "to_numpy"):
        return values.to_numpy()
    if isinstance(values, Iterable) and not isinstance(values, Mapping):
        return list(values)
    raise TypeError(f"must be ids, got {type(values).__name__}")
