"""Values of the features of click examples at the training events."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from recops_models.examples.click_schema import SIGN
from recops_models.examples.event_features import history_feature, request_feature
from recops_models.examples.events import Events
from recops_models.examples.features import FeatureSchema
from recops_models.examples.running_rates import RATES


def training_columns(schema: FeatureSchema, events: Events) -> Iterator[tuple[str, pa.Array]]:
    """Yield each feature with a separate table or moments, with its values at training events.

    Only one column at a time needs memory for all training events.
    """
    train = events.part(0)
    names = {feature.name for feature in schema.features}
    for columns, index in (
        (events.user_columns, events.user),
        (events.item_columns, events.item),
    ):
        rows = pa.array(index[train])
        for name, column in columns.items():
            if name in names:
                yield name, column.combine_chunks().take(rows)
    for column, values in events.columns.items():
        requested = request_feature(column.name)
        name = requested if requested in names else history_feature(column.name)
        if name in names:
            yield name, values.combine_chunks().take(pa.array(train))
    if SIGN in names:
        yield SIGN, pa.array(events.feedback_class[train])
    if RATES[0] in names:
        rates = events.running_rates.features(
            events.user[train], events.item[train], events.time_rank[train]
        )
        for name, values in rates.items():
            yield name, pa.array(values)
