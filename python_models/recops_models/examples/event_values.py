"""Values of event columns: of each event of a history, and of items shown at a moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from recops_models.data.dataset import Dataset
from recops_models.data.event_columns import EventColumn
from recops_models.data.histories import AnyArray, Int64Array
from recops_models.examples.compact import IndexArray
from recops_models.examples.encoded_columns import encode_columns
from recops_models.examples.event_features import history_feature, request_feature
from recops_models.examples.features import FeatureSchema, FittedSchema
from recops_models.examples.lookup import PADDING, UNKNOWN


class EventValues:
    """Rows of event columns in the tables of a model.

    Args:
        schema: schema of the model; columns without a feature in it are left out.
        columns: event columns.
        rows: rows ``[E]`` in the tables of the model, by the sequence of the history.
        user: ``[E]``, user indices.
        item: ``[E]``, item indices.
        time_rank: ``[E]``, position in time order; None: the events are in time order.
        has_offers: whether a column that differs between items has the value of the item that the
            event shows, as impressions have. Otherwise all items have that of their last earlier
            event: the item of the event is then no exception that would reveal the label.

    Complexity:
        O(E log E) once; O(n log E) for n examples.
    """

    def __init__(
        self,
        schema: FeatureSchema,
        columns: Iterable[EventColumn],
        rows: Mapping[str, AnyArray],
        *,
        user: IndexArray,
        item: IndexArray,
        time_rank: IndexArray | None,
        has_offers: bool,
    ) -> None:
        names = {feature.name for feature in schema.features}
        self._item, self._has_offers = item, has_offers
        self.history = {feature: values.astype(np.int32) for feature, values in rows.items()}
        self._requested: dict[str, tuple[str, NDArray[np.int32]]] = {}
        for column in columns:
            requested, history = request_feature(column.name), history_feature(column.name)
            if requested in names and history in self.history:
                self._requested[requested] = column.per, self.history[history]
        kinds = {per for per, _ in self._requested.values()}
        self._last = {
            per: _LastBefore(entity, time_rank)
            for per, entity in (("request", user), ("item", item))
            if per in kinds
        }

    @classmethod
    def of_dataset(cls, dataset: Dataset, fitted: FittedSchema) -> EventValues:
        """Return the values of all events of ``dataset``, for requests after them.

        Raises:
            DataError: a column holds strings but held numbers in the training part, or the reverse.
        """
        events = dataset.interactions
        names = [column.name for column in dataset.event_columns]
        columns = {history_feature(name): events[name] for name in names}
        return cls(
            fitted.schema,
            dataset.event_columns,
            encode_columns(dataset.name, fitted, events=columns).events,
            user=dataset.user_vocabulary.index(events["user_id"].to_numpy()),
            item=dataset.item_vocabulary.index(events["item_id"].to_numpy()),
            time_rank=None,
            has_offers=False,
        )

    @property
    def request_features(self) -> list[str]:
        """Names of the features of requests."""
        return list(self._requested)

    @property
    def item_features(self) -> list[str]:
        """Names of the features of requests that differ between items."""
        return [name for name, (per, _) in self._requested.items() if per == "item"]

    def request(
        self,
        user: Int64Array,
        item: Int64Array,
        time_rank: Int64Array,
        events: Int64Array | None = None,
    ) -> dict[str, NDArray[np.int32]]:
        """Return feature name → rows ``[n]`` for ``item`` shown to ``user`` before ``time_rank``.

        Args:
            user: ``[n]`` i64, user indices.
            item: ``[n]`` i64, item indices.
            time_rank: ``[n]`` i64 in [0, E]; E is after all events.
            events: ``[n]`` i64, the event at which each item is shown; None: there is no such
                event, and a request has the values of the user's last event.
        """
        features = {}
        for name, (per, rows) in self._requested.items():
            if per == "request" and events is not None:
                features[name] = rows[events]
                continue
            last = self._last[per].rows(item if per == "item" else user, time_rank)
            values = rows[last] if len(rows) else np.zeros((len(last), *rows.shape[1:]), np.int32)
            values[last < 0] = PADDING
            values.reshape(len(last), -1)[last < 0, 0] = UNKNOWN
            if per == "item" and self._has_offers and events is not None:
                is_own = item == self._item[events]
                values[is_own] = rows[events[is_own]]
            features[name] = values
        return features


def last_values_of_items(dataset: Dataset, fitted: FittedSchema) -> dict[str, NDArray[np.int32]]:
    """Return the rows ``[N]`` at each item's last event of the features that differ by item."""
    if not dataset.event_columns:
        return {}
    values = EventValues.of_dataset(dataset, fitted)
    items = np.arange(dataset.items.num_rows)
    end = np.full(len(items), dataset.interactions.num_rows)
    requested = values.request(np.zeros_like(items), items, end)
    return {name: requested[name] for name in values.item_features}


class _LastBefore:
    """Last event of an entity before a time rank."""

    def __init__(self, entity: IndexArray, time_rank: IndexArray | None) -> None:
        rank = np.arange(len(entity)) if time_rank is None else time_rank
        self._order = np.lexsort((rank, entity))
        self._entity, self._span = entity[self._order].astype(np.int64), len(entity) + 1
        self._keys = self._entity * self._span + rank[self._order]

    def rows(self, entity: Int64Array, time_rank: Int64Array) -> Int64Array:
        """Return the row ``[n]`` of the event; −1 if there is none."""
        if not len(self._order):
            return np.full(len(entity), -1)
        position = np.searchsorted(self._keys, entity * self._span + time_rank) - 1
        is_own = (position >= 0) & (self._entity[position] == entity)
        return np.where(is_own, self._order[position], -1)
