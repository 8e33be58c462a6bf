"""Which features click examples of a data set have, and where their values stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.dataset import Dataset, column_role
from recops_models.data.errors import DataError
from recops_models.examples.features import (
    Categorical,
    Feature,
    FeatureSchema,
    FittedSchema,
    Numeric,
    Sequence,
)
from recops_models.examples.lookup import as_keys
from recops_models.examples.running_rates import RATES

SIGN = "history_sign"
"""The sequence of what each event of the history said of its item."""

KNOWN = {"user": "knowledge:user", "item": "knowledge:item"}
"""Features that name an example's user and item to knowledge from elsewhere, by their own ids: keys
of the source where there are any. A schema has them where a model reads such knowledge."""

_HISTORY = "history"


def click_schema(
    dataset: Dataset,
    *,
    max_len: int = 50,
    rare_count: int = 2,
    rare_share: float = 1e-3,
    signed: bool = False,
    running_rates: bool = False,
) -> FeatureSchema:
    """User and item, what is told of either, and the history of the item and its categories.

    Single-valued attributes are categories, numbers numeric features; those of users are called
    ``user_…``. Lists and text are left out.

    Args:
        dataset: the data.
        max_len: of a history.
        rare_count: ``min_count`` of every categorical.
        rare_share: as of :class:`~recops_models.examples.features.Categorical`, of each.
        signed: whether :data:`SIGN` stands beside each event.
        running_rates: whether :data:`~recops_models.examples.running_rates.RATES` are features.

    Raises:
        DataError: a column of users or items has the name of a feature that is made here.
    """
    users, items = (
        _described(columns, rare_count, rare_share)
        for columns in (user_columns(dataset), item_columns(dataset))
    )
    _refuse_taken(dataset, [feature.name for feature in users], [each.name for each in items])
    met = [feature.name for feature in items if isinstance(feature, Categorical)]
    described = sorted([*users, *items], key=lambda feature: isinstance(feature, Numeric))
    return FeatureSchema(
        (
            *described,
            *(Numeric(name) for name in RATES if running_rates),
            *(
                Sequence(f"history_{name}", max_len, share_embedding=name, history=_HISTORY)
                for name in met
            ),
            *((Sequence(SIGN, max_len, history=_HISTORY),) if signed else ()),
        )
    )


def item_columns(dataset: Dataset) -> dict[str, pa.ChunkedArray]:
    """By the name of a feature, the column of ``dataset.items`` that holds its values."""
    items = dataset.items
    others = [name for name in items.column_names if name not in ("item_id", "item_key")]
    columns = {"item": items["item_id"], **{name: items[name] for name in others}}
    return {**columns, KNOWN["item"]: entity_keys(dataset, "item")}


def user_columns(dataset: Dataset) -> dict[str, pa.ChunkedArray]:
    """By the name of a feature, the column of ``dataset.users`` that holds its values."""
    users = dataset.users
    hidden = ("user_id", "user_key", "held_out")
    others = [name for name in users.column_names if name not in hidden]
    columns = {"user": users["user_id"], **{f"user_{name}": users[name] for name in others}}
    return {**columns, KNOWN["user"]: entity_keys(dataset, "user")}


def of_user(name: str) -> bool:
    """Whether a feature of :func:`click_schema` tells of the user."""
    return name == "user" or name.startswith("user_")


def entity_keys(dataset: Dataset, entity: str) -> pa.ChunkedArray:
    """The ids of all users or items as the source has them: strings, or integers."""
    table: pa.Table = getattr(dataset, f"{entity}s")
    return table[f"{entity}_key" if f"{entity}_key" in table.column_names else f"{entity}_id"]


def encoded(
    columns: Mapping[str, pa.ChunkedArray], fitted: FittedSchema
) -> dict[str, NDArray[Any]]:
    """The values of those columns that are features: rows of its table, or standard numbers."""
    values: dict[str, NDArray[Any]] = {}
    for feature in fitted.schema.features:
        name = feature.name
        if name in columns and isinstance(feature, Categorical):
            values[name] = fitted.lookup(name).rows(keys(columns[name]))
        elif name in columns and isinstance(feature, Numeric):
            values[name] = fitted.standardised(name, numbers(columns[name]))
    return values


def keys(column: pa.ChunkedArray) -> pa.Array:
    """A categorical column as int64 or strings."""
    return as_keys(pa.concat_arrays([as_keys(chunk) for chunk in column.chunks]))


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers, NaN where one is missing."""
    values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    return values


def _refuse_taken(dataset: Dataset, users: list[str], items: list[str]) -> None:
    """The first of each are user and item; what tells of a user is told by its name."""
    made = {"user", *RATES}
    taken = [("users", name.removeprefix("user_")) for name in users[1:] if name in made]
    taken += [
        ("items", name)
        for name in items[1:]
        if name in made or of_user(name) or f"{_HISTORY}_{name}" == SIGN
    ]
    taken += [("items", "item")] if "item" in dataset.items.column_names else []
    for table, name in taken:
        raise DataError(
            f"{dataset.name}: the column {name!r} of {table} must have another name, as features "
            "of that name are made of events"
        )


def _described(
    columns: Mapping[str, pa.ChunkedArray], rare_count: int, rare_share: float
) -> list[Feature]:
    found: list[Feature] = []
    for place, (name, column) in enumerate(columns.items()):
        if name in KNOWN.values():
            continue
        role = column_role(column)
        if place == 0 or (role == "attribute" and not pa.types.is_nested(column.type)):
            found.append(Categorical(name, min_count=rare_count, rare_share=rare_share))
        elif role == "number":
            found.append(Numeric(name))
    return found
