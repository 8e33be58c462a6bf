"""Values of the features of click examples at the training events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from recops_models.data.histories import Int64Array
from recops_models.examples.click_schema import SIGN
from recops_models.examples.event_features import history_feature, request_feature
from recops_models.examples.events import Events
from recops_models.examples.features import Categorical, FeatureSchema
from recops_models.examples.running_rates import RATES

_ROWS = 1 << 22
"""Events per block. Moments of more events depend on it in their last bits."""


class TrainingColumn(NamedTuple):
    """Values of a feature.

    Attributes:
        name: the feature.
        values: ``[n]`` values.
        counts: ``[n]``, number of training events that have each value; None: one.
    """

    name: str
    values: pa.Array
    counts: Int64Array | None = None


def training_columns(schema: FeatureSchema, events: Events) -> Iterator[TrainingColumn]:
    """Yield each feature with a separate table or moments, with its values at training events.

    Values of events come in blocks. Categories of users and items come once, with the number of
    their training events.
    """
    names = {feature.name for feature in schema.features}
    first, stop = map(int, events.bounds[:2])
    blocks = [np.arange(at, min(at + _ROWS, stop)) for at in range(first, stop, _ROWS)]
    for columns, index in (
        (events.user_columns, events.user),
        (events.item_columns, events.item),
    ):
        for name, column in columns.items():
            if name not in names:
                continue
            values = column.combine_chunks()
            if _is_plain_category(schema, name):
                counts = np.bincount(index[first:stop], minlength=len(values))
                yield TrainingColumn(name, values, counts)
                continue
            for rows in blocks:
                yield TrainingColumn(name, values.take(pa.array(index[rows])))
    for column, values in events.columns.items():
        requested = request_feature(column.name)
        name = requested if requested in names else history_feature(column.name)
        if name in names:
            for rows in blocks:
                block = values.slice(rows[0], len(rows)).combine_chunks()
                yield TrainingColumn(name, block)
    for rows in blocks:
        if SIGN in names:
            yield TrainingColumn(SIGN, pa.array(events.feedback_class[rows]))
        if RATES[0] in names:
            for name, rates in events.rates(rows).items():
                yield TrainingColumn(name, pa.array(rates))


def _is_plain_category(schema: FeatureSchema, name: str) -> bool:
    """Return whether a feature has one category per user or item, and not a list or a bin."""
    is_category = isinstance(schema[name], Categorical)
    return is_category and not schema.is_binned(name) and schema.max_values(name) is None
