"""What an event says of its item: disliked, neutral or liked."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import AnyArray, Int64Array

Feedback = Literal["explicit", "implicit"]

DISLIKED, NEUTRAL, LIKED = 0, 1, 2

_RARE_CLASS = 0.05
"""Share of positives, or of the others, below which the threshold hardly divides the events."""

TELLING = ("label", "feedback", "rating")
"""Columns that tell, the first there is."""


def feedback_of(dataset: Dataset) -> Feedback:
    """``"explicit"`` where the source has labels, classes or ratings, else ``"implicit"``."""
    columns = dataset.interactions.column_names
    return "explicit" if any(name in columns for name in TELLING) else "implicit"


def classes_of(events: pa.Table, feedback: Feedback, positive: float, *, name: str) -> Int64Array:
    """``[E]``: :data:`DISLIKED`, :data:`NEUTRAL` or :data:`LIKED`; see :func:`label_rule`.

    Raises:
        DataError: labels other than 0 and 1, or nothing that tells; it names ``name``.
    """
    if feedback == "implicit":
        return np.full(events.num_rows, LIKED)
    told = _told(events, name)
    values = events[told].to_numpy()
    if told == "label":
        wrong = (values != 0) & (values != 1)
        if wrong.any():
            raise DataError(
                f"{name}: labels must be 0 or 1, found {values[wrong][0]:g} "
                f"in {int(wrong.sum()):,} rows"
            )
    return said_by(told, values, positive)


def said_by(told: str, values: AnyArray, positive: float) -> Int64Array:
    """The class of each of ``values``, of the column of :data:`TELLING` named ``told``."""
    if told == "feedback":
        said: Int64Array = values.astype(np.int64)
        return said
    if told == "rating":
        return np.where(values >= positive, LIKED, np.where(values >= positive - 1, NEUTRAL, 0))
    return np.where(values == 1, LIKED, DISLIKED)


def rating_warning(events: pa.Table, feedback: Feedback | None, positive: float) -> str | None:
    """Return a warning if nearly all ratings, or nearly none, count as positive; else None.

    Args:
        events: interactions.
        feedback: None: explicit, where the source says anything.
        positive: the least rating that counts as liking.
    """
    if feedback == "implicit" or "rating" not in events.column_names:
        return None
    if _told(events, "ratings") != "rating":
        return None
    ratings = events["rating"].to_numpy()
    share = float((ratings >= positive).mean())
    if _RARE_CLASS <= share <= 1 - _RARE_CLASS:
        return None
    values = np.unique(ratings)
    shares = [float((ratings >= value).mean()) for value in values]
    evenest = int(np.argmin(np.abs(np.array(shares) - 0.5)))
    return (
        f"{share:.1%} of the events count as positive, as their rating is {positive:g} or more "
        f"(ratings go from {values[0]:g} to {values[-1]:g}); set `positive`, for example "
        f"`--set positive={values[evenest]:g}` for {shares[evenest]:.1%}"
    )


def label_rule(events: pa.Table, feedback: Feedback, positive: float, *, name: str) -> str:
    """Which events are positive, and which neutral, in words."""
    if feedback == "implicit":
        return "label: every event is positive"
    return {
        "label": "labels of the source",
        "feedback": "label: liked; neutral and disliked are negative",
        "rating": f"label: rating ≥ {positive:g}; neutral from {positive - 1:g}, else disliked",
    }[_told(events, name)]


def _told(events: pa.Table, name: str) -> str:
    for column in TELLING:
        if column in events.column_names:
            return column
    raise DataError(f"{name}: explicit feedback needs a label, feedback or rating column")
