"""Columns of users and items that can be features, by feature name."""

from __future__ import annotations

import pyarrow as pa

from recops_models.data.dataset import Dataset, entity_keys
from recops_models.data.errors import DataError
from recops_models.examples.knowledge_features import KNOWN


def user_columns(dataset: Dataset) -> dict[str, pa.ChunkedArray]:
    """Return feature name → column of ``dataset.users`` with its values; the id comes first."""
    users = dataset.users
    hidden = ("user_id", "user_key", "held_out")
    others = [name for name in users.column_names if name not in hidden]
    columns = {"user": users["user_id"], **{f"user_{name}": users[name] for name in others}}
    return {**columns, KNOWN["user"]: entity_keys(dataset, "user")}


def item_columns(dataset: Dataset) -> dict[str, pa.ChunkedArray]:
    """Return feature name → column of ``dataset.items`` with its values; the id comes first.

    Raises:
        DataError: a column has the name of the id's feature.
    """
    items = dataset.items
    if "item" in items.column_names:
        raise reserved_name(dataset.name, "items", "item")
    others = [name for name in items.column_names if name not in ("item_id", "item_key")]
    columns = {"item": items["item_id"], **{name: items[name] for name in others}}
    return {**columns, KNOWN["item"]: entity_keys(dataset, "item")}


def is_user_feature(name: str) -> bool:
    """Return whether a feature with a column describes the user."""
    return name == "user" or name.startswith("user_")


def reserved_name(dataset: str, table: str, column: str) -> DataError:
    """Return the error for a column with the name of a feature that is computed.

    Args:
        dataset: name of the data set.
        table: ``"users"`` or ``"items"``.
        column: name of the column.
    """
    return DataError(
        f"{dataset}: the column {column!r} of {table} must have another name, as features of that "
        "name are computed from events"
    )
