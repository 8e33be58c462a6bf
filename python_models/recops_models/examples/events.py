"""Events of a split with indices, feedback classes and time ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.event_columns import EventColumn
from recops_models.data.histories import Histories, Int64Array
from recops_models.data.splits import PARTS, Split
from recops_models.examples.compact import IndexArray, index_type
from recops_models.examples.earlier_counts import EarlierCounts, RunningTotal
from recops_models.examples.entity_columns import item_columns, user_columns
from recops_models.examples.feedback import LIKED, Feedback, classes_of_events, label_rule
from recops_models.examples.running_rates import RunningRates, rate_features

_LIST_COLUMNS = ("request", "position", "propensity")


@dataclass(frozen=True, eq=False)
class Events:
    """Events of context, train, validation and test, concatenated; each user's stay in order.

    Arrays have the narrowest types, so that a hundred million events fit into memory.

    Attributes:
        dataset: the data set of the events.
        user: ``[E]`` i32, user indices; i64 if they do not fit.
        item: ``[E]`` i32, item indices; i64 if they do not fit.
        feedback_class: ``[E]`` i8, disliked, neutral or liked.
        time_rank: ``[E]``, position in time order; None: the events are in time order.
        bounds: ``[4]`` i64: part ``i`` is ``[bounds[i], bounds[i + 1])``.
        rule: description of the rule for positive labels.
        list_start: ``[E]``, row of the first impression of the event's list. The items of a list
            are shown together, so none is in another one's history. None: there are no lists.
        propensity: ``[E]`` f64, probability of the item in the list; None: unknown.
        columns: values ``[E]`` of the data set's ``event_columns``.
        is_explicit: whether events have labels, and not only positives.
        labels: positive events ``[E]`` of each label in addition to clicks.
    """

    dataset: Dataset
    user: IndexArray
    item: IndexArray
    feedback_class: NDArray[np.int8]
    time_rank: IndexArray | None
    bounds: Int64Array
    rule: str
    list_start: IndexArray | None
    propensity: NDArray[np.float64] | None = None
    columns: Mapping[EventColumn, pa.ChunkedArray] = field(default_factory=dict)
    is_explicit: bool = False
    labels: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @classmethod
    def of(cls, split: Split, feedback: Feedback, positive: float) -> Events:
        """Return the events of ``split``.

        Raises:
            DataError: a part is empty; or as in
                :func:`~recops_models.examples.feedback.classes_of`.
        """
        dataset = split.dataset
        sizes = [split.num_events(part) for part in ("context", *PARTS)]
        for part, size in zip(PARTS, sizes[1:], strict=True):
            if not size:
                raise DataError(f"{dataset.name}: the {part} part is empty")
        schema = dataset.event_schema
        user, item = _indices(split, sum(sizes))
        time_rank = None if split.is_in_order else _time_rank(split)
        propensity = None
        if "propensity" in schema.names:
            propensity = _column(split, "propensity").to_numpy().astype(np.float64)
        return cls(
            dataset,
            user,
            item,
            classes_of_events(split, feedback, positive),
            time_rank,
            np.cumsum(sizes),
            label_rule(schema, feedback, positive, name=dataset.name),
            _list_start(split, user, time_rank),
            propensity,
            {column: _column(split, column.name) for column in dataset.event_columns},
            feedback == "explicit",
        )

    def __len__(self) -> int:
        return len(self.user)

    @property
    def liked(self) -> NDArray[np.bool_]:
        """Mask ``[E]`` of the positive events."""
        liked: NDArray[np.bool_] = self.feedback_class == LIKED
        return liked

    @cached_property
    def user_columns(self) -> dict[str, pa.ChunkedArray]:
        """Columns of all users by feature name."""
        return user_columns(self.dataset)

    @cached_property
    def item_columns(self) -> dict[str, pa.ChunkedArray]:
        """Columns of all items by feature name."""
        return item_columns(self.dataset)

    @cached_property
    def running_rates(self) -> RunningRates:
        """Running rates of any user and item; 32 bytes of memory per event."""
        order = slice(None) if self.time_order is None else self.time_order
        return RunningRates(self.user[order], self.item[order], self.liked[order])

    @cached_property
    def earlier_of_user(self) -> EarlierCounts:
        """Numbers of the user's events before each event."""
        users = self.dataset.users.num_rows
        return EarlierCounts.of(self.user, users, self.liked, self.time_order)

    @cached_property
    def earlier_of_item(self) -> EarlierCounts:
        """Numbers of the item's events before each event."""
        items = self.dataset.items.num_rows
        return EarlierCounts.of(self.item, items, self.liked, self.time_order)

    @property
    def time_order(self) -> Int64Array | None:
        """The events in time order; None: they are in time order."""
        return None if self.time_rank is None else np.argsort(self.time_rank)

    def time_ranks(self, rows: Int64Array) -> Int64Array:
        """Return the positions of events in time order."""
        return rows if self.time_rank is None else self.time_rank[rows].astype(np.int64)

    def list_starts(self, rows: Int64Array) -> Int64Array:
        """Return the first event of each event's list, or the event itself without lists."""
        return rows if self.list_start is None else self.list_start[rows].astype(np.int64)

    def rates(self, rows: Int64Array) -> dict[str, NDArray[np.float64]]:
        """Return the running rates of the user and the item of events, before each event.

        They equal those of :class:`~recops_models.examples.running_rates.RunningRates`, in O(n).
        """
        user, item, rank = self.earlier_of_user, self.earlier_of_item, self.time_ranks(rows)
        return rate_features(
            user=(_wide(user.events[rows]), _wide(user.liked[rows])),
            item=(_wide(item.events[rows]), _wide(item.liked[rows])),
            all_events=(rank, self._liked_total.before(rank)),
        )

    @cached_property
    def _liked_total(self) -> RunningTotal:
        """Running total of liked events in time order."""
        return RunningTotal(self.liked if self.time_order is None else self.liked[self.time_order])

    def part(self, index: int) -> Int64Array:
        """Return the rows of part ``index``: 0 train, 1 validation, 2 test."""
        return np.arange(self.bounds[index], self.bounds[index + 1])

    def histories(self, rows: Int64Array) -> Histories:
        """Return the histories of all users, limited to ``rows``, in time order."""
        order = rows[np.lexsort((self.time_ranks(rows), self.user[rows]))]
        counts = np.bincount(self.user[rows], minlength=self.dataset.users.num_rows)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return Histories(offsets, _wide(self.item[order]), order)


def _wide(values: IndexArray) -> Int64Array:
    return values.astype(np.int64)


def _indices(split: Split, rows: int) -> tuple[IndexArray, IndexArray]:
    """Return the user and item index of each event."""
    vocabularies = split.dataset.user_vocabulary, split.dataset.item_vocabulary
    user, item = (np.empty(rows, dtype=index_type(len(each))) for each in vocabularies)
    start = 0
    for block in split.event_blocks(["user_id", "item_id"]):
        stop = start + block.num_rows
        user[start:stop] = vocabularies[0].index(block["user_id"].to_numpy())
        item[start:stop] = vocabularies[1].index(block["item_id"].to_numpy())
        start = stop
    return user, item


def _time_rank(split: Split) -> IndexArray:
    times = _column(split, "timestamp").to_numpy()
    rank = np.empty(len(times), dtype=index_type(len(times)))
    rank[np.argsort(times, kind="stable")] = np.arange(len(times))
    return rank


def _column(split: Split, name: str) -> pa.ChunkedArray:
    kind = split.dataset.event_schema.field(name).type
    chunks = [chunk for block in split.event_blocks([name]) for chunk in block[name].chunks]
    return pa.chunked_array(chunks, kind)


def _list_start(split: Split, user: IndexArray, time_rank: IndexArray | None) -> IndexArray | None:
    """Return the row of the first event of each event's list; None: there are no lists.

    Lists are those of :mod:`recops_models.data.from_impressions`: impressions of one request.
    """
    if not set(_LIST_COLUMNS) <= set(split.dataset.event_schema.names):
        return None
    requests = _column(split, "request").combine_chunks()
    codes = requests.dictionary_encode().indices.to_numpy()
    _, request = np.unique(_wide(user) * (codes.max(initial=0) + 1) + codes, return_inverse=True)
    order = np.arange(len(user)) if time_rank is None else np.argsort(time_rank)
    first = np.full(request.max(initial=-1) + 1, -1)
    first[request[order[::-1]]] = order[::-1]  # The last write, of the earliest event, wins.
    return first[request].astype(index_type(len(user)))
