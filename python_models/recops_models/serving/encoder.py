"""From events and requests to what a model reads, by its schema and what its data set tells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import SIGN
from recops_models.examples.features import Categorical, Feature, FittedSchema, Numeric, Vector
from recops_models.examples.feedback import LIKED, TELLING, said_by
from recops_models.examples.lookup import UNKNOWN, Lookup, as_keys
from recops_models.examples.running_rates import RATES, rate_features
from recops_models.layers.feature_embedding import History
from recops_models.serving.checked import Tally, Totals
from recops_models.serving.described import described_items, described_users
from recops_models.serving.errors import FieldError
from recops_models.serving.event import UserEvent

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


class Encoder:
    """What the features of a model are, for an event and for the candidates of a request.

    Each value comes from the first that knows it: the event or request itself, the data set's table
    of items or users, the center's own counts (:data:`RATES`). An id that the data set does not
    know counts as unknown, which models are trained for; a feature that nobody tells is an error by
    its name.

    Args:
        fitted: the model's schema.
        history: the one that the model writes.
        dataset: what it was trained on; None: examples, of which no tables are known.
        explicit: whether events say liked, neutral or disliked, by a label, feedback or a rating.
        positive: the least rating that counts as liking.
    """

    def __init__(
        self,
        fitted: FittedSchema,
        history: History,
        dataset: Dataset | None,
        *,
        explicit: bool,
        positive: float,
    ) -> None:
        self._fitted, self._history = fitted, history
        self._items = None if dataset is None else described_items(dataset, fitted)
        self._users = None if dataset is None else described_users(dataset, fitted)
        self._explicit, self._positive = explicit, positive
        names = {feature.name for feature in fitted.schema.features}
        self.reads_rates = dataset is not None and RATES[0] in names
        self._likes_alone = explicit and SIGN not in history.sequences
        self._context = [
            feature for feature in fitted.schema.features if feature.name not in history.sequences
        ]
        self._known = {feature.name for feature in self._context}

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
        for place, event in enumerate(events):
            told = next((name for name in (*TELLING, SIGN) if name in event.features), None)
            if told is None:
                faults.setdefault(
                    place, FieldError("rating", "must be there, or a label or feedback")
                )
                continue
            value = event.features[told]
            due = _CLASSES.get(told)
            if not _is_number(value) or (due is not None and value not in due):
                must = "a finite number" if due is None else f"one of {', '.join(map(str, due))}"
                faults.setdefault(place, FieldError(told, f"must be {must}, got {value!r:.40}"))
                continue
            column = "feedback" if told == SIGN else told
            number = np.array([value], dtype=np.float64)
            said[place] = said_by(column, number, self._positive)[0]
        return said

    def _event_ids(
        self,
        name: str,
        events: Sequence[UserEvent],
        places: Int64Array | None,
        faults: dict[int, FieldError],
    ) -> Int64Array:
        """``[E]``: feature ``name`` of each event, that of its item where it tells no other."""
        if name == self._fitted.schema.candidate:
            return self._item_rows(name, [event.item for event in events], places)
        rows = np.full(len(events), UNKNOWN)
        told = [place for place, event in enumerate(events) if name in event.features]
        if self._items is not None and name in self._items:
            assert places is not None
            rows = self._items.values(name, places).astype(np.int64)
        elif len(told) < len(events):
            for place, event in enumerate(events):
                if name not in event.features:
                    faults.setdefault(
                        place, FieldError(name, "must be there, for the model reads it")
                    )
        values = [events[place].features[name] for place in told]
        found, wrong = _looked_up(self._fitted.lookup(name), name, values)
        rows[told] = found
        for place, error in wrong.items():
            faults.setdefault(told[place], error)
        return rows

    def _item_rows(self, name: str, items: Sequence[str], places: Int64Array | None) -> Int64Array:
        if self._items is not None:
            assert places is not None
            return self._items.values(name, places).astype(np.int64)
        lookup = self._fitted.lookup(name)
        rows: Int64Array = np.full(len(items), UNKNOWN)
        if isinstance(lookup.keys, pa.Array):
            return lookup.rows(pa.array(items, pa.string()))
        numbers = [int(item) if item.removeprefix("-").isdecimal() else None for item in items]
        known = [place for place, number in enumerate(numbers) if number is not None]
        rows[known] = lookup.rows(np.array([numbers[place] for place in known], dtype=np.int64))
        return rows

    def candidates(
        self,
        user: str,
        items: Sequence[str],
        given: Mapping[str, object],
        tallies: Tallies | None,
    ) -> Batch:
        """B candidates shown to a user; the history's own sequences are left out.

        Args:
            user: the id.
            items: B ids.
            given: values of features: one for all candidates, or a list of B.
            tallies: of user, items and all, where the model reads rates.

        Raises:
            FieldError: a feature is given that there is not, or is not what it must be, or must be
                given and is not.
        """
        for name in given:
            if name not in self._known:
                raise FieldError(name, "is no feature that a request can tell of")
        places = None if self._items is None else self._items.places(items)
        rates = {}
        if tallies is not None:
            rates = rate_features(
                user=_counts([tallies.user]),
                item=_counts(tallies.items),
                all_events=_counts([tallies.all]),
            )
        features: dict[str, Tensor] = {}
        lengths: dict[str, Tensor] = {}
        for feature in self._context:
            name = feature.name
            if name in given:
                self._given(feature, given[name], len(items), features, lengths)
                continue
            if name in rates and isinstance(feature, Numeric):
                values: NDArray[Any] = self._fitted.standardised(name, rates[name])
                values = np.broadcast_to(values, len(items)).copy()
            elif name == self._fitted.schema.candidate:
                values = self._item_rows(name, items, places)
            elif self._items is not None and name in self._items:
                assert places is not None
                values = self._items.values(name, places)
            elif self._users is not None and name in self._users:
                values = self._users.values(name, self._users.places([user])).repeat(len(items))
            else:
                raise FieldError(name, "must be given, for the model reads it")
            features[name] = torch.from_numpy(values)
        return Batch(
            features,
            lengths,
            torch.zeros(len(items)),
            torch.zeros(len(items), dtype=torch.int64),
        )

    def _given(
        self,
        feature: Feature,
        value: object,
        rows: int,
        features: dict[str, Tensor],
        lengths: dict[str, Tensor],
    ) -> None:
        """A feature that a request tells of."""
        name = feature.name
        if isinstance(feature, Categorical):
            ids, wrong = _looked_up(self._fitted.lookup(name), name, _each(name, value, rows))
            for error in wrong.values():
                raise error
            features[name] = torch.from_numpy(ids)
        elif isinstance(feature, Numeric):
            numbers = np.array([_number(name, one) for one in _each(name, value, rows)])
            features[name] = torch.from_numpy(self._fitted.standardised(name, numbers))
        elif isinstance(feature, Vector):
            vectors = _each(name, value, rows, depth=1)
            for one in vectors:
                if not isinstance(one, list) or len(one) != feature.size:
                    raise FieldError(name, f"must be {feature.size} numbers")
            features[name] = torch.tensor([[_number(name, x) for x in one] for one in vectors])
        else:
            lists = _each(name, value, rows, depth=1)
            found: list[Tensor] = []
            for one in lists:
                if not isinstance(one, list):
                    raise FieldError(name, "must be a list, oldest first")
                ids, wrong = _looked_up(self._fitted.lookup(name), name, one[-feature.max_len :])
                for error in wrong.values():
                    raise error
                found.append(torch.from_numpy(ids))
            lengths[name] = torch.tensor([len(one) for one in found])
            padded = torch.zeros(rows, max(1, int(lengths[name].max())), dtype=torch.int64)
            for row, one in enumerate(found):
                padded[row, : len(one)] = one
            features[name] = padded


@dataclass(frozen=True)
class Tallies:
    """What is counted of a request's user, of each candidate, and of all events."""

    user: Tally
    items: list[Tally]
    all: Tally | Totals


def _counts(tallies: Sequence[Tally | Totals]) -> tuple[Int64Array, Int64Array]:
    return (
        np.array([tally.seen for tally in tallies], dtype=np.int64),
        np.array([tally.liked for tally in tallies], dtype=np.int64),
    )


def _looked_up(
    lookup: Lookup, name: str, values: list[object]
) -> tuple[Int64Array, dict[int, FieldError]]:
    """The rows of values, and by place the errors of those that are none."""
    try:
        column = pa.array(values)
        if pa.types.is_null(column.type):
            return np.full(len(values), UNKNOWN), {}
        return lookup.rows(as_keys(column)).astype(np.int64), {}
    except (DataError, pa.ArrowException, TypeError, OverflowError) as error:
        if len(values) == 1:
            return np.full(1, UNKNOWN), {0: FieldError(name, f"must be a value of it ({error})")}
    rows, wrong = np.full(len(values), UNKNOWN), {}
    for place, value in enumerate(values):
        row, errors = _looked_up(lookup, name, [value])
        rows[place] = row[0]
        if errors:
            wrong[place] = errors[0]
    return rows, wrong


def _each(name: str, value: object, rows: int, *, depth: int = 0) -> list[object]:
    """A value for each candidate, of one for all (of lists so deep) or of a list of them."""
    inner: object = value
    for _ in range(depth):
        inner = inner[0] if isinstance(inner, list) and inner else None
    if not isinstance(inner, list):
        return [value] * rows
    assert isinstance(value, list)
    if len(value) != rows:
        raise FieldError(name, f"must be one value, or {rows} as there are candidates")
    return value


def _number(name: str, value: object) -> float:
    if value is None:
        return math.nan  # Missing, which a numeric feature may be.
    if not _is_number(value):
        raise FieldError(name, f"must be a finite number, got {value!r:.40}")
    return float(value)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) < 1e300  # type: ignore[arg-type]
