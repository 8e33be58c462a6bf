"""Columns of users, items and events as a fitted schema encodes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from recops_models.data.dataset import BLOCK
from recops_models.data.errors import DataError
from recops_models.data.histories import AnyArray
from recops_models.examples.compact import smallest_type
from recops_models.examples.event_features import history_feature
from recops_models.examples.features import Categorical, Feature, FittedSchema, Numeric, Sequence

_NONE: Mapping[str, pa.ChunkedArray] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class EncodedColumns:
    """Table rows of categories and standardised numbers, by feature, in the schema's order.

    Attributes:
        users: ``[U]``, or ``[U, k]`` of lists.
        items: ``[N]``, or ``[N, k]`` of lists.
        events: ``[E]``, or ``[E, k]`` of lists, by the sequence of the history, in the smallest
            integer type.
    """

    users: dict[str, AnyArray] = field(default_factory=dict)
    items: dict[str, AnyArray] = field(default_factory=dict)
    events: dict[str, AnyArray] = field(default_factory=dict)


def encode_columns(
    name: str,
    fitted: FittedSchema,
    *,
    users: Mapping[str, pa.ChunkedArray] = _NONE,
    items: Mapping[str, pa.ChunkedArray] = _NONE,
    events: Mapping[str, pa.Array | pa.ChunkedArray] = _NONE,
) -> EncodedColumns:
    """Encode the columns that are features; others are left out.

    Args:
        name: name of the data set, for errors.
        fitted: the schema.
        users: columns of :func:`~recops_models.examples.entity_columns.user_columns`.
        items: columns of :func:`~recops_models.examples.entity_columns.item_columns`.
        events: values ``[E]`` of events, by the sequence of the history.

    Raises:
        DataError: a column holds strings but held numbers in the training part, or the reverse.
    """
    encoded = EncodedColumns()
    for into, columns, kinds, prefix, encode in (
        (encoded.users, users, (Categorical, Numeric), "user_", FittedSchema.encoded),
        (encoded.items, items, (Categorical, Numeric), "", FittedSchema.encoded),
        (encoded.events, events, (Sequence,), history_feature(""), _compact),
    ):
        for feature in fitted.schema.features:
            if feature.name in columns and isinstance(feature, kinds):
                try:
                    into[feature.name] = encode(fitted, feature, columns[feature.name])
                except DataError as error:
                    column = feature.name.removeprefix(prefix)
                    raise DataError(f"{name}: column {column!r} {error}") from None
    return encoded


def _compact(
    fitted: FittedSchema, feature: Feature, column: pa.Array | pa.ChunkedArray
) -> AnyArray:
    """Encode the column of a sequence in blocks, as the smallest integer type."""
    kind = smallest_type(fitted.cardinality(feature.name) - 1)
    blocks = [
        fitted.encoded(feature, column.slice(start, BLOCK)).astype(kind)
        for start in range(0, max(len(column), 1), BLOCK)
    ]
    return np.concatenate(blocks)
