"""Features of click examples, and the columns with their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from recops_models.data.dataset import Dataset, column_role, entity_keys
from recops_models.data.errors import DataError
from recops_models.examples.features import (
    Categorical,
    Feature,
    FeatureSchema,
    Numeric,
    Sequence,
)
from recops_models.examples.running_rates import RATES

if TYPE_CHECKING:
    from recops_models.examples.events import Events

SIGN = "history_sign"
"""Sequence of the feedback class (disliked, neutral, liked) of each event of the history."""

KNOWN = {"user": "knowledge:user", "item": "knowledge:item"}
"""Features with the source's ids of an example's user and item, which are looked up in external
knowledge. Only schemas of models that read such knowledge have them."""

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
    """Return the schema of user and item, their columns, and the history of item and categories.

    Single-valued attributes become categorical features, numbers numeric ones. Features of user
    columns are called ``user_…``. Lists and text are left out.

    Args:
        dataset: the data.
        max_len: maximum length of a history.
        rare_count: ``min_count`` of every categorical feature.
        rare_share: ``rare_share`` of every categorical feature.
        signed: whether histories have the sequence :data:`SIGN`.
        running_rates: whether :data:`~recops_models.examples.running_rates.RATES` are features.

    Raises:
        DataError: a column of users or items has the name of a feature that is computed here.
    """
    users, items = (
        _features(columns, rare_count, rare_share)
        for columns in (user_columns(dataset), item_columns(dataset))
    )
    _refuse_reserved(dataset, [feature.name for feature in users], [each.name for each in items])
    in_history = [feature.name for feature in items if isinstance(feature, Categorical)]
    features = sorted([*users, *items], key=lambda feature: isinstance(feature, Numeric))
    return FeatureSchema(
        (
            *features,
            *(Numeric(name) for name in RATES if running_rates),
            *(
                Sequence(f"history_{name}", max_len, share_embedding=name, history=_HISTORY)
                for name in in_history
            ),
            *((Sequence(SIGN, max_len, history=_HISTORY),) if signed else ()),
        )
    )


def item_columns(dataset: Dataset) -> dict[str, pa.ChunkedArray]:
    """Return feature name → column of ``dataset.items`` with its values."""
    items = dataset.items
    others = [name for name in items.column_names if name not in ("item_id", "item_key")]
    columns = {"item": items["item_id"], **{name: items[name] for name in others}}
    return {**columns, KNOWN["item"]: entity_keys(dataset, "item")}


def user_columns(dataset: Dataset) -> dict[str, pa.ChunkedArray]:
    """Return feature name → column of ``dataset.users`` with its values."""
    users = dataset.users
    hidden = ("user_id", "user_key", "held_out")
    others = [name for name in users.column_names if name not in hidden]
    columns = {"user": users["user_id"], **{f"user_{name}": users[name] for name in others}}
    return {**columns, KNOWN["user"]: entity_keys(dataset, "user")}


def is_user_feature(name: str) -> bool:
    """Return whether a feature of :func:`click_schema` describes the user."""
    return name == "user" or name.startswith("user_")


def training_columns(schema: FeatureSchema, events: Events) -> Iterator[tuple[str, pa.Array]]:
    """Yield each single-valued feature of ``schema`` with its values at the training events.

    Only one column at a time needs memory for all training events.
    """
    train = events.part(0)
    names = {feature.name for feature in schema.features}
    for columns, index in (
        (user_columns(events.dataset), events.user),
        (item_columns(events.dataset), events.item),
    ):
        rows = pa.array(index[train])
        for name, column in columns.items():
            if name in names:
                yield name, column.combine_chunks().take(rows)
    if SIGN in names:
        yield SIGN, pa.array(events.feedback_class[train])
    if RATES[0] in names:
        rates = events.running_rates.features(
            events.user[train], events.item[train], events.time_rank[train]
        )
        for name, values in rates.items():
            yield name, pa.array(values)


def _refuse_reserved(dataset: Dataset, users: list[str], items: list[str]) -> None:
    """Raise an error for a column whose feature name is computed here or marks user features.

    The first name in ``users`` and in ``items`` is the id feature itself.
    """
    reserved = {"user", *RATES}
    clashes = [("users", name.removeprefix("user_")) for name in users[1:] if name in reserved]
    clashes += [
        ("items", name)
        for name in items[1:]
        if name in reserved or is_user_feature(name) or f"{_HISTORY}_{name}" == SIGN
    ]
    clashes += [("items", "item")] if "item" in dataset.items.column_names else []
    for table, name in clashes:
        raise DataError(
            f"{dataset.name}: the column {name!r} of {table} must have another name, as features "
            "of that name are computed from events"
        )


def _features(
    columns: Mapping[str, pa.ChunkedArray], rare_count: int, rare_share: float
) -> list[Feature]:
    features: list[Feature] = []
    for index, (name, column) in enumerate(columns.items()):
        if name in KNOWN.values():
            continue
        role = column_role(column)
        if index == 0 or (role == "attribute" and not pa.types.is_nested(column.type)):
            features.append(Categorical(name, min_count=rare_count, rare_share=rare_share))
        elif role == "number":
            features.append(Numeric(name))
    return features
