"""Labels of events in addition to clicks, from columns and feedback."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.columns import parse_numbers
from recops_models.data.errors import DataError
from recops_models.data.histories import AnyArray
from recops_models.data.splits import PARTS, Split
from recops_models.examples.batch import CLICK
from recops_models.examples.events import Events
from recops_models.examples.feedback import DISLIKED, NEUTRAL

AUTO = "auto"
DEFAULT_VALUE = "weight"
"""Default column of the task ``"heavy"``, if the source has it."""


def further_labels(
    split: Split,
    events: Events,
    labels: Sequence[str] = (AUTO,),
    value: str | None = DEFAULT_VALUE,
) -> dict[str, NDArray[np.bool_]]:
    """Return the labels of tasks other than clicks: task → ``[E]``, in the order of ``events``.

    ``"auto"`` in ``labels`` stands for the labels that the data set's schema names, or else:

    - ``"kept"``: not disliked, if there are dislikes and neutral events.
    - ``"heavy"``: the value (hours played, times bought) is above the training part's median, if
      values differ.

    Every other label is a column of the interactions, positive above 0.

    Args:
        split: split of the super-domain.
        events: all events of ``split``.
        labels: columns, or ``"auto"``.
        value: column of the task ``"heavy"``; None: no such task.

    Raises:
        DataError: a column is missing, holds other values than finite numbers, has no positive in
            the training part, or has the name of another task.
    """
    tasks: dict[str, NDArray[np.bool_]] = {}
    for label in labels:
        if label == AUTO:
            tasks |= _default_labels(split, events, value)
        elif label == CLICK or label in tasks:
            raise DataError(f"{split.dataset.name}: task_labels must differ, got {label} twice")
        else:
            tasks |= column_labels(split, events, [label])
    return tasks


def column_labels(
    split: Split, events: Events, columns: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    """Return column → positive events ``[E]``, those above 0, in the order of ``events``.

    Args:
        split: the split.
        events: all events of ``split``.
        columns: different columns of the interactions.

    Raises:
        DataError: a column is missing, holds other values than finite numbers, or has no positive
            in the training part.
    """
    labels = {column: _numbers(split, "task_labels", column) > 0 for column in columns}
    for column, is_positive in labels.items():
        if not is_positive[events.part(0)].any():
            raise DataError(
                f"{split.dataset.name}: task_labels must be above 0 in at least one training "
                f"event; {column} is not"
            )
    return labels


def _default_labels(
    split: Split, events: Events, value: str | None
) -> dict[str, NDArray[np.bool_]]:
    tasks, dataset = {}, split.dataset
    classes = events.feedback_class
    if dataset.labels:
        tasks = column_labels(split, events, dataset.labels)
    elif (classes == NEUTRAL).any() and (classes == DISLIKED).any():
        tasks["kept"] = classes != DISLIKED
    columns = dataset.event_schema.names
    if value == DEFAULT_VALUE and value not in columns and dataset.value is not None:
        value = dataset.value
    if value is not None and (value != DEFAULT_VALUE or value in columns):
        amounts = _numbers(split, "task_value", value)
        heavy = amounts > np.median(amounts[events.part(0)])
        if heavy.any():
            tasks["heavy"] = heavy
    return tasks


def _numbers(split: Split, setting: str, column: str) -> AnyArray:
    """Return a numeric column ``[E]`` of the interactions without missing values."""
    name, names = split.dataset.name, split.dataset.event_schema.names
    if column not in names:
        raise DataError(
            f"{name}: {setting} must name columns of the interactions, got {column!r}; available: "
            f"{', '.join(names)}"
        )
    source = _column(split, column)
    # The median of a float32 column must be compared in float32.
    own = source.to_numpy() if pa.types.is_floating(source.type) else None
    values, faults = parse_numbers(source, column)
    if any(rows.any() for _, rows in faults):
        raise DataError(f"{name}: {setting} must name columns of finite numbers, got {column}")
    return values if own is None else own


def event_column(split: Split, column: str) -> AnyArray:
    """Return a column ``[E]`` of the interactions, in the order of
    :class:`~recops_models.examples.events.Events`.
    """
    values: AnyArray = _column(split, column).to_numpy()
    return values


def _column(split: Split, column: str) -> pa.ChunkedArray:
    return pa.concat_tables([getattr(split, part) for part in ("context", *PARTS)])[column]
