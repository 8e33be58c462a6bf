"""Encoding of events as inputs of a model's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.histories import Int64Array
from recops_models.examples.click_schema import SIGN
from recops_models.examples.event_features import event_column_of
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import FEEDBACK_COLUMNS, LIKED, classes_of_values
from recops_models.examples.lookup import UNKNOWN
from recops_models.layers.feature_embedding import History
from recops_models.serving.errors import FieldError
from recops_models.serving.event import UserEvent
from recops_models.serving.feature_table import FeatureTable
from recops_models.serving.values import (
    NUMBER,
    is_number,
    rows_of_ids,
    rows_of_lists,
    rows_of_values,
)

_CLASSES = {"label": (0, 1), "feedback": (0, 1, 2), SIGN: (0, 1, 2)}
"""Allowed values of the discrete feedback fields. SIGN is the feature name of ``feedback``."""


@dataclass(frozen=True)
class EncodedEvents:
    """Encoded events, without those that the model cannot read.

    Attributes:
        events: the E encoded events.
        ids: embedding rows ``[E]`` i64 by sequence of the history.
        liked: ``[E]``, whether the event is a like.
        written: ``[E]``, whether the event changes the state; the others are only counted.
        faults: errors of the excluded events, by position among all events.
    """

    events: list[UserEvent]
    ids: dict[str, Tensor]
    liked: NDArray[np.bool_]
    written: NDArray[np.bool_]
    faults: dict[int, FieldError]


class EventEncoder:
    """Encoder of the history sequences of an event.

    Each value comes from the event, or else from the item table. An item that the table lacks is
    encoded as unknown, which models are trained for. A feature that is in neither is an error. The
    feature of an event column, such as ``history_event_price``, is the event's field ``price``.

    Args:
        fitted: schema of the model.
        history: history that the model writes to its memory.
        items: item table; None if it is not available.
        explicit: whether events carry explicit feedback: a label, a feedback class or a rating.
        positive: lowest rating that counts as a like.
    """

    def __init__(
        self,
        fitted: FittedSchema,
        history: History,
        items: FeatureTable | None,
        *,
        explicit: bool,
        positive: float,
    ) -> None:
        self._fitted, self._history, self._items = fitted, history, items
        self._explicit, self._positive = explicit, positive
        self._writes_only_likes = explicit and SIGN not in history.sequences

    def encode(self, events: Sequence[UserEvent]) -> EncodedEvents:
        """Encode events. O(E)."""
        faults: dict[int, FieldError] = {}
        feedback = self._feedback(events, faults)
        item_rows = None
        if self._items is not None:
            item_rows = self._items.rows([event.item for event in events])
        ids = {}
        for name, target in zip(self._history.sequences, self._history.targets, strict=True):
            if name == SIGN and self._explicit:
                ids[name] = self._fitted.lookup(name).rows(feedback)
            elif (column := event_column_of(name)) is not None:
                ids[name] = self._field_ids(name, column, events, None, faults)
            else:
                ids[name] = self._event_ids(target or name, events, item_rows, faults)
        valid = np.array([index not in faults for index in range(len(events))], dtype=np.bool_)
        liked = (feedback == LIKED)[valid]
        return EncodedEvents(
            [event for event, is_valid in zip(events, valid, strict=True) if is_valid],
            {name: torch.from_numpy(rows[valid]) for name, rows in ids.items()},
            liked,
            liked if self._writes_only_likes else np.ones_like(liked),
            faults,
        )

    def _feedback(self, events: Sequence[UserEvent], faults: dict[int, FieldError]) -> Int64Array:
        """Return the feedback class ``[E]`` of each event; all are likes for implicit feedback."""
        feedback = np.full(len(events), LIKED)
        if not self._explicit:
            return feedback
        by_column: dict[str, dict[int, float]] = {}  # Column to event index to value.
        for index, event in enumerate(events):
            columns = (*FEEDBACK_COLUMNS, SIGN)
            column = next((name for name in columns if name in event.features), None)
            if column is None:
                faults.setdefault(
                    index, FieldError("rating", "must be present, or a label or feedback")
                )
                continue
            value = event.features[column]
            classes = _CLASSES.get(column)
            if not is_number(value) or (classes is not None and value not in classes):
                allowed = NUMBER if classes is None else f"one of {', '.join(map(str, classes))}"
                error = FieldError(column, f"must be {allowed}, got {value!r:.40}")
                faults.setdefault(index, error)
                continue
            by_column.setdefault("feedback" if column == SIGN else column, {})[index] = value
        for column, by_index in by_column.items():
            values = np.fromiter(by_index.values(), np.float64)
            feedback[list(by_index)] = classes_of_values(column, values, self._positive)
        return feedback

    def _event_ids(
        self,
        name: str,
        events: Sequence[UserEvent],
        item_rows: Int64Array | None,
        faults: dict[int, FieldError],
    ) -> Int64Array:
        """Return the rows ``[E]`` of feature ``name``: from the event, or else from its item."""
        rows = self._item_ids(name, events, item_rows)
        if name == self._fitted.schema.candidate and rows is not None:
            return rows
        return self._field_ids(name, name, events, rows, faults)

    def _field_ids(
        self,
        name: str,
        column: str,
        events: Sequence[UserEvent],
        rows: Int64Array | None,
        faults: dict[int, FieldError],
    ) -> Int64Array:
        """Return the rows ``[E]`` of feature ``name`` from field ``column``, or else ``rows``.

        Rows of lists are ``[E, L]``.
        """
        most = self._fitted.schema.max_values(name)
        indices = [index for index, event in enumerate(events) if column in event.features]
        if rows is None:
            rows = np.full(len(events) if most is None else (len(events), most), UNKNOWN)
            for index in set(range(len(events))).difference(indices):
                error = FieldError(column, "must be present, because the model reads it")
                faults.setdefault(index, error)
        values = [events[index].features[column] for index in indices]
        lookup = self._fitted.lookup(name)
        if most is None:
            rows[indices], errors = rows_of_values(lookup, column, values)
        else:
            rows[indices], errors = rows_of_lists(lookup, column, values, most)
        for index, error in errors.items():
            faults.setdefault(indices[index], error)
        return rows

    def _item_ids(
        self, name: str, events: Sequence[UserEvent], item_rows: Int64Array | None
    ) -> Int64Array | None:
        """Return the rows ``[E]`` of feature ``name`` of the events' items; None if unknown."""
        if item_rows is not None and self._items is not None and name in self._items:
            return self._items.values(name, item_rows).astype(np.int64)
        if name == self._fitted.schema.candidate:
            return rows_of_ids(self._fitted.lookup(name), [event.item for event in events])
        return None
