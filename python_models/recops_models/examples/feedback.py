"""Feedback class of an event: disliked, neutral or liked."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import AnyArray, Int64Array
from recops_models.data.splits import Split

Feedback = Literal["explicit", "implicit"]

DISLIKED, NEUTRAL, LIKED = 0, 1, 2

_RARE_CLASS = 0.05
"""Share of positives or negatives below which :func:`rating_warning` warns."""

FEEDBACK_COLUMNS = ("label", "feedback", "rating")
"""Columns of explicit feedback, in order of preference."""


def feedback_of(dataset: Dataset) -> Feedback:
    """Return ``"explicit"`` if the source has labels, feedback or ratings, else ``"implicit"``."""
    columns = dataset.event_schema.names
    return "explicit" if any(name in columns for name in FEEDBACK_COLUMNS) else "implicit"


def classes_of(events: pa.Table, feedback: Feedback, positive: float, *, name: str) -> Int64Array:
    """Return the class ``[E]`` of each event: :data:`DISLIKED`, :data:`NEUTRAL` or :data:`LIKED`.

    :func:`label_rule` describes the rule. Errors start with ``name``.

    Raises:
        DataError: a label is neither 0 nor 1, or there is no column of explicit feedback.
    """
    if feedback == "implicit":
        return np.full(events.num_rows, LIKED)
    column = _feedback_column(events.schema, name)
    values = events[column].to_numpy()
    if column == "label":
        wrong = (values != 0) & (values != 1)
        if wrong.any():
            raise DataError(
                f"{name}: labels must be 0 or 1, got {values[wrong][0]:g} "
                f"in {int(wrong.sum()):,} rows"
            )
    return classes_of_values(column, values, positive)


def classes_of_events(split: Split, feedback: Feedback, positive: float) -> NDArray[np.int8]:
    """Return :func:`classes_of` the events of a split, in the order of its blocks."""
    name = split.dataset.name
    columns = ["item_id"]
    if feedback == "explicit":
        columns = [_feedback_column(split.dataset.event_schema, name)]
    blocks = split.event_blocks(columns)
    classes = [classes_of(each, feedback, positive, name=name).astype(np.int8) for each in blocks]
    return np.concatenate(classes)


def classes_of_values(column: str, values: AnyArray, positive: float) -> Int64Array:
    """Return the class of each value of a column of :data:`FEEDBACK_COLUMNS`."""
    if column == "feedback":
        classes: Int64Array = values.astype(np.int64)
        return classes
    if column == "rating":
        return np.where(values >= positive, LIKED, np.where(values >= positive - 1, NEUTRAL, 0))
    return np.where(values == 1, LIKED, DISLIKED)


def rating_warning(dataset: Dataset, feedback: Feedback | None, positive: float) -> str | None:
    """Return a warning if nearly all ratings, or nearly none, count as positive; else None.

    Args:
        dataset: the data.
        feedback: kind of feedback; None is explicit if the source has a column of feedback.
        positive: lowest rating that counts as liked.
    """
    schema = dataset.event_schema
    if feedback == "implicit" or "rating" not in schema.names:
        return None
    if _feedback_column(schema, "ratings") != "rating":
        return None
    ratings = dataset.event_values("rating")
    share = float((ratings >= positive).mean())
    if _RARE_CLASS <= share <= 1 - _RARE_CLASS:
        return None
    values = np.unique(ratings)
    shares = [float((ratings >= value).mean()) for value in values]
    best = int(np.argmin(np.abs(np.array(shares) - 0.5)))
    return (
        f"{share:.1%} of the events count as positive, as their rating is {positive:g} or more "
        f"(ratings go from {values[0]:g} to {values[-1]:g}); set `positive`, for example "
        f"`--set positive={values[best]:g}` for {shares[best]:.1%}"
    )


def label_rule(events: pa.Schema, feedback: Feedback, positive: float, *, name: str) -> str:
    """Return a description of the rule for positive and neutral events."""
    if feedback == "implicit":
        return "label: every event is positive"
    return {
        "label": "labels of the source",
        "feedback": "label: liked; neutral and disliked are negative",
        "rating": f"label: rating ≥ {positive:g}; neutral from {positive - 1:g}, else disliked",
    }[_feedback_column(events, name)]


def _feedback_column(events: pa.Schema, name: str) -> str:
    for column in FEEDBACK_COLUMNS:
        if column in events.names:
            return column
    raise DataError(f"{name}: explicit feedback needs a label, feedback or rating column")
