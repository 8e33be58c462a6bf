"""From events to what a model's memory reads of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.histories import Int64Array
from recops_models.examples.click_schema import SIGN
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import FEEDBACK_COLUMNS, LIKED, classes_of_values
from recops_models.examples.lookup import UNKNOWN
from recops_models.layers.feature_embedding import History
from recops_models.serving.described import Described
from recops_models.serving.errors import FieldError
from recops_models.serving.event import UserEvent
from recops_models.serving.values import NUMBER, is_number, looked_up, rows_of_ids

_CLASSES = {"label": (0, 1), "feedback": (0, 1, 2), SIGN: (0, 1, 2)}
"""What an event may say in so many words; SIGN is the feedback, by the name of the feature."""


@dataclass(frozen=True)
class EncodedEvents:
    """Events as a model reads them, those left out that it cannot.

    Attributes:
        events: E of them.
        ids: by sequence of the history ``[E]`` i64, rows of its table.
        liked: ``[E]``.
        written: ``[E]``: which are part of a history; the others are counted alone.
        faults: of those left out, by their place among all.
    """

    events: list[UserEvent]
    ids: dict[str, Tensor]
    liked: NDArray[np.bool_]
    written: NDArray[np.bool_]
    faults: dict[int, FieldError]


class EventEncoder:
    """What the sequences of a model's history are, for an event.

    Each value comes from the event itself, or else from the data set's table of items. An item that
    the data set does not know counts as unknown, which models are trained for; a feature that
    neither tells is an error by its name.

    Args:
        fitted: the model's schema.
        history: the one that the model writes.
        items: the catalogue; None: it is not known.
        explicit: whether events say liked, neutral or disliked, by a label, feedback or a rating.
        positive: the least rating that counts as liking.
    """

    def __init__(
        self,
        fitted: FittedSchema,
        history: History,
        items: Described | None,
        *,
        explicit: bool,
        positive: float,
    ) -> None:
        self._fitted, self._history, self._items = fitted, history, items
        self._explicit, self._positive = explicit, positive
        self._likes_alone = explicit and SIGN not in history.sequences

    def encode(self, events: Sequence[UserEvent]) -> EncodedEvents:
        """Events as the model reads them. O(E)."""
        faults: dict[int, FieldError] = {}
        said = self._said(events, faults)
        places = None
        if self._items is not None:
            places = self._items.places([event.item for event in events])
        ids = {}
        for name, target in zip(self._history.sequences, self._history.targets, strict=True):
            if name == SIGN and self._explicit:
                ids[name] = self._fitted.lookup(name).rows(said)
            else:
                ids[name] = self._event_ids(target or name, events, places, faults)
        kept = np.array([place not in faults for place in range(len(events))], dtype=np.bool_)
        liked = (said == LIKED)[kept]
        return EncodedEvents(
            [event for event, good in zip(events, kept, strict=True) if good],
            {name: torch.from_numpy(rows[kept]) for name, rows in ids.items()},
            liked,
            liked if self._likes_alone else np.ones_like(liked),
            faults,
        )

    def _said(self, events: Sequence[UserEvent], faults: dict[int, FieldError]) -> Int64Array:
        said = np.full(len(events), LIKED)
        if not self._explicit:
            return said
        numbers: dict[str, dict[int, float]] = {}  # By column, of each place.
        for place, event in enumerate(events):
            told = next(
                (name for name in (*FEEDBACK_COLUMNS, SIGN) if name in event.features), None
            )
            if told is None:
                faults.setdefault(
                    place, FieldError("rating", "must be there, or a label or feedback")
                )
                continue
            value = event.features[told]
            due = _CLASSES.get(told)
            if not is_number(value) or (due is not None and value not in due):
                must = NUMBER if due is None else f"one of {', '.join(map(str, due))}"
                faults.setdefault(place, FieldError(told, f"must be {must}, got {value!r:.40}"))
                continue
            numbers.setdefault("feedback" if told == SIGN else told, {})[place] = value
        for column, told_by in numbers.items():
            values = np.fromiter(told_by.values(), np.float64)
            said[list(told_by)] = classes_of_values(column, values, self._positive)
        return said

    def _event_ids(
        self,
        name: str,
        events: Sequence[UserEvent],
        places: Int64Array | None,
        faults: dict[int, FieldError],
    ) -> Int64Array:
        """``[E]``: feature ``name`` of each event, that of its item where it tells no other."""
        is_item = name == self._fitted.schema.candidate
        told = [place for place, one in enumerate(events) if name in one.features and not is_item]
        rows = self._item_ids(name, events, places)
        if rows is None:
            rows = np.full(len(events), UNKNOWN)
            for place in set(range(len(events))).difference(told):
                error = FieldError(name, "must be there, for the model reads it")
                faults.setdefault(place, error)
        values = [events[place].features[name] for place in told]
        rows[told], wrong = looked_up(self._fitted.lookup(name), name, values)
        for place, error in wrong.items():
            faults.setdefault(told[place], error)
        return rows

    def _item_ids(
        self, name: str, events: Sequence[UserEvent], places: Int64Array | None
    ) -> Int64Array | None:
        """``[E]``: feature ``name`` of the events' items; None: nobody knows it."""
        if places is not None and self._items is not None and name in self._items:
            return self._items.values(name, places).astype(np.int64)
        if name == self._fitted.schema.candidate:
            return rows_of_ids(self._fitted.lookup(name), [event.item for event in events])
        return None
