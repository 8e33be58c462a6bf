"""Features of click examples."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa

from recops_models.data.column_roles import column_role, longest_list
from recops_models.data.event_columns import EventColumn
from recops_models.examples.category_lists import MAX_VALUES
from recops_models.examples.entity_columns import is_user_feature, reserved_name
from recops_models.examples.event_features import event_features
from recops_models.examples.features import (
    Categorical,
    Feature,
    FeatureSchema,
    Numeric,
    Sequence,
)
from recops_models.examples.knowledge_features import KNOWN
from recops_models.examples.running_rates import RATES

SIGN = "history_sign"
"""Sequence of the feedback class (disliked, neutral, liked) of each event of the history."""

_HISTORY = "history"


def click_schema(
    name: str,
    users: Mapping[str, pa.ChunkedArray],
    items: Mapping[str, pa.ChunkedArray],
    events: Mapping[EventColumn, pa.ChunkedArray] = MappingProxyType({}),
    *,
    max_len: int = 50,
    rare_count: int = 2,
    rare_share: float = 1e-3,
    signed: bool = False,
    running_rates: bool = False,
    event_requests: bool = True,
    lists: bool = False,
) -> FeatureSchema:
    """Return the schema of user and item, their columns, and the history of item and categories.

    Single-valued attributes become categorical features, numbers numeric ones. Features of user
    columns are called ``user_…``, and those of event columns ``event_…``. Text is left
    out.

    Args:
        name: name of the data set, for errors.
        users: columns of :func:`~recops_models.examples.entity_columns.user_columns`.
        items: columns of :func:`~recops_models.examples.entity_columns.item_columns`.
        events: columns of the events, in any order of the events.
        max_len: maximum length of a history.
        rare_count: ``min_count`` of every categorical feature.
        rare_share: ``rare_share`` of every categorical feature.
        signed: whether histories have the sequence :data:`SIGN`.
        running_rates: whether :data:`~recops_models.examples.running_rates.RATES` are features.
        lists: whether lists of categories of users and items are features.
        event_requests: whether event columns are features of requests, and not only of histories.

    Raises:
        DataError: a column of users or items has the name of a feature that is computed here.
    """
    of_users, of_items = (
        _features(columns, rare_count, rare_share, lists) for columns in (users, items)
    )
    _refuse_reserved(name, [each.name for each in of_users], [each.name for each in of_items])
    in_history = [feature.name for feature in of_items if isinstance(feature, Categorical)]
    requested, sequences = event_features(
        events,
        history=_HISTORY,
        max_len=max_len,
        rare_count=rare_count,
        rare_share=rare_share,
        in_requests=event_requests,
    )
    columns = [*of_users, *of_items, *requested]
    features = sorted(columns, key=lambda feature: isinstance(feature, Numeric))
    return FeatureSchema(
        (
            *features,
            *(Numeric(name) for name in RATES if running_rates),
            *(
                Sequence(f"history_{name}", max_len, share_embedding=name, history=_HISTORY)
                for name in in_history
            ),
            *sequences,
            *((Sequence(SIGN, max_len, history=_HISTORY),) if signed else ()),
        )
    )


def _refuse_reserved(dataset: str, users: list[str], items: list[str]) -> None:
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
    for table, column in clashes:
        raise reserved_name(dataset, table, column)


def _features(
    columns: Mapping[str, pa.ChunkedArray], rare_count: int, rare_share: float, lists: bool
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
        elif role == "attribute" and lists:
            most = min(MAX_VALUES, longest_list(column))
            features.append(
                Categorical(name, min_count=rare_count, rare_share=rare_share, max_values=most)
            )
    return features
