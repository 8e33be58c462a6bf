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
from recops_models.data.splits import Split
from recops_models.examples.entity_columns import item_columns, user_columns
from recops_models.examples.feedback import LIKED, Feedback, classes_of, label_rule
from recops_models.examples.running_rates import RunningRates

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Events:
    """Events of context, train, validation and test, concatenated; each user's stay in order.

    Attributes:
        dataset: the data set of the events.
        user: ``[E]`` i64, user indices.
        item: ``[E]`` i64, item indices.
        feedback_class: ``[E]`` i64, disliked, neutral or liked.
        time_rank: ``[E]`` i64, position in time order.
        bounds: ``[4]`` i64: part ``i`` is ``[bounds[i], bounds[i + 1])``.
        rule: description of the rule for positive labels.
        list_start: ``[E]`` i64, row of the first impression of the event's list, or the event's own
            row. The items of a list are shown together, so none is in another one's history.
        propensity: ``[E]`` f64, probability of the item in the list; None: unknown.
        columns: values ``[E]`` of the data set's ``event_columns``.
        is_explicit: whether events have labels, and not only positives.
        labels: positive events ``[E]`` of each label in addition to clicks.
    """

    dataset: Dataset
    user: Int64Array
    item: Int64Array
    feedback_class: Int64Array
    time_rank: Int64Array
    bounds: Int64Array
    rule: str
    list_start: Int64Array
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
        tables = [getattr(split, part) for part in ("context", *PARTS)]
        for part, table in zip(PARTS, tables[1:], strict=True):
            if not table.num_rows:
                raise DataError(f"{dataset.name}: the {part} part is empty")
        events = pa.concat_tables(tables)
        time_rank = np.empty(events.num_rows, dtype=np.int64)
        order = np.argsort(events["timestamp"].to_numpy(), kind="stable")
        time_rank[order] = np.arange(len(order))
        user = dataset.user_vocabulary.index(events["user_id"].to_numpy())
        propensity = None
        if "propensity" in events.column_names:
            propensity = events["propensity"].to_numpy().astype(np.float64)
        return cls(
            dataset,
            user,
            dataset.item_vocabulary.index(events["item_id"].to_numpy()),
            classes_of(events, feedback, positive, name=dataset.name),
            time_rank,
            np.cumsum([table.num_rows for table in tables]),
            label_rule(events, feedback, positive, name=dataset.name),
            _list_start(events, user, time_rank),
            propensity,
            {column: events[column.name] for column in dataset.event_columns},
            feedback == "explicit",
        )

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
        """Running rates of users and items over all events."""
        order = np.argsort(self.time_rank)
        return RunningRates(self.user[order], self.item[order], self.liked[order])

    def part(self, index: int) -> Int64Array:
        """Return the rows of part ``index``: 0 train, 1 validation, 2 test."""
        return np.arange(self.bounds[index], self.bounds[index + 1])

    def histories(self, rows: Int64Array) -> Histories:
        """Return the histories of all users, limited to ``rows``, in time order."""
        order = rows[np.lexsort((self.time_rank[rows], self.user[rows]))]
        counts = np.bincount(self.user[rows], minlength=self.dataset.users.num_rows)
        return Histories(np.concatenate([[0], np.cumsum(counts)]), self.item[order], order)


def _list_start(events: pa.Table, user: Int64Array, time_rank: Int64Array) -> Int64Array:
    """Return the row of the first event of each event's list, or its own row without lists.

    Lists are those of :mod:`recops_models.data.from_impressions`: impressions of one request.
    """
    rows = np.arange(len(user))
    if not {"request", "position", "propensity"} <= set(events.column_names):
        return rows
    codes = events["request"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, request = np.unique(user * (codes.max(initial=0) + 1) + codes, return_inverse=True)
    order = np.argsort(time_rank)
    first = np.full(request.max(initial=-1) + 1, -1)
    first[request[order[::-1]]] = order[::-1]  # The last write, of the earliest event, wins.
    return first[request]
