"""The one in-memory form of a data set: three Arrow tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.errors import DataError
from recops_models.data.report import ImportReport
from recops_models.data.vocabulary import Vocabulary

TimeKind = Literal["seconds", "order", "none"]
ColumnRole = Literal["text", "attribute", "number"]


@dataclass(frozen=True)
class Dataset:
    """Who met what, when; and what is known of either side.

    Attributes:
        name: the data set's name.
        interactions: ``user_id`` i64, ``item_id`` i64, ``timestamp`` i64, and where the source has
            them ``rating``, ``label``, ``feedback`` (0 disliked, 1 neutral, 2 liked), ``weight``,
            ``position`` (the slot of an impression) and ``propensity`` f32. No nulls; sorted by
            time, ties in the order of the source.
        items: ``item_id`` i64 (ascending, unique: the catalogue) and whatever text and attribute
            columns there are. String ids of the source stand in ``item_key``.
        users: ``user_id`` i64 (ascending, unique) and attributes; string ids stand in ``user_key``.
        report: what the import read and left out.
        time: ``"seconds"`` since the epoch, or ``"order"`` where the source knows only the order of
            each user's events (``timestamp`` is then the event's position within its user's
            history), or ``"none"`` where it knows not even that (the positions are then drawn at
            random, always the same: what is last says nothing, and holds out a random event).
    """

    name: str
    interactions: pa.Table
    items: pa.Table
    users: pa.Table
    report: ImportReport
    time: TimeKind = "seconds"

    def __post_init__(self) -> None:
        for table, columns in (
            (self.interactions, ("user_id", "item_id", "timestamp")),
            (self.items, ("item_id",)),
            (self.users, ("user_id",)),
        ):
            for column in columns:
                if column not in table.column_names or table[column].type != pa.int64():
                    raise DataError(f"{self.name}: a table lacks its int64 column {column!r}")
                if table[column].null_count:
                    raise DataError(f"{self.name}: column {column!r} holds nulls")
        if (np.diff(self.interactions["timestamp"].to_numpy()) < 0).any():
            raise DataError(f"{self.name}: interactions are not in time order")

    @property
    def item_vocabulary(self) -> Vocabulary:
        """The catalogue's dense index: index ``i`` is row ``i`` of ``items``."""
        return Vocabulary(self.items["item_id"].to_numpy().copy())

    @property
    def user_vocabulary(self) -> Vocabulary:
        """The users' dense index: index ``i`` is row ``i`` of ``users``."""
        return Vocabulary(self.users["user_id"].to_numpy().copy())

    @property
    def item_keys(self) -> list[str] | list[int]:
        """``[N]``: the items' ids as the source has them, in the order of ``items``."""
        return _keys(self.items, "item")

    @property
    def user_keys(self) -> list[str] | list[int]:
        """``[U]``: the users' ids as the source has them, in the order of ``users``."""
        return _keys(self.users, "user")

    def text_keys(self, entity: Literal["item", "user"]) -> pa.ChunkedArray | None:
        """The ids as the source has them, where they are text; None where they are integers."""
        table = self.items if entity == "item" else self.users
        return table[f"{entity}_key"] if f"{entity}_key" in table.column_names else None

    def item_columns(self, role: ColumnRole) -> list[str]:
        """The columns of ``items`` of one role; see :func:`column_role`."""
        names = [name for name in self.items.column_names if name not in ("item_id", "item_key")]
        return [name for name in names if column_role(self.items[name]) == role]

    def user_id(self, key: str) -> int:
        """The id of the user whom the source calls ``key`` (the id itself where ids are integers).

        Raises:
            DataError: no such user.
        """
        return self._resolve(self.users, "user", key)

    def item_id(self, key: str) -> int:
        """The id of the item that the source calls ``key`` (the id itself where ids are integers).

        Raises:
            DataError: no such item.
        """
        return self._resolve(self.items, "item", key)

    def _resolve(self, table: pa.Table, entity: str, key: str) -> int:
        ids = table[f"{entity}_id"]
        names = (
            table[f"{entity}_key"]
            if f"{entity}_key" in table.column_names
            else ids.cast(pa.string())
        )
        row = pc.index(names, pa.scalar(key, names.type)).as_py()
        if row < 0:
            raise DataError(
                f"{self.name}: no {entity} {key!r} among {table.num_rows:,}, such as {names[0]}"
            )
        return int(ids[row].as_py())


def _keys(table: pa.Table, entity: str) -> list[str] | list[int]:
    named = f"{entity}_key" in table.column_names
    keys: list[str] | list[int] = table[f"{entity}_key" if named else f"{entity}_id"].to_pylist()
    return keys


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists, which may be of any length."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def column_role(column: pa.ChunkedArray) -> ColumnRole | None:
    """How a column describes its item or user.

    Numbers are numbers; lists of strings or integers, dictionary-encoded columns and booleans are
    categorical attributes. A plain string column is text where more than half of its values are
    distinct (titles), else an attribute (brands). None: of a type that nothing here reads (nested
    lists, dates, bytes).
    """
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_dictionary(kind) or pa.types.is_boolean(kind):
        return "attribute"
    if is_list(kind):
        value = kind.value_type
        flat = (
            pa.types.is_string(value)
            or pa.types.is_large_string(value)
            or pa.types.is_integer(value)
        )
        return "attribute" if flat else None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        present = len(column) - column.null_count
        return "text" if 2 * pc.count_distinct(column).as_py() > present else "attribute"
    return None
