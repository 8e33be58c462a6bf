"""Named labels of events, such as click, cart and purchase, from conditions on event columns.

::

    labels:
      click: clicked
      cart: behaviour in ('cart', 'buy')
      purchase: behaviour = 'buy'
      value: price

A label is a condition in the grammar of :mod:`recops_models.data.where`, or a column that is
positive above 0. ``click`` is the label of the data set, which makes feedback explicit unless every
event is a click. ``value`` is no label: it names the column of an amount, such as the price paid.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.columns import parse_numbers
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.where import rows_where

CLICK, VALUE = "click", "value"
_LABEL = "label"


def with_labels(dataset: Dataset, conditions: Mapping[str, str]) -> Dataset:
    """Return ``dataset`` with a column 0 or 1 of its interactions per label.

    Args:
        dataset: the data, with its event columns.
        conditions: label → condition; see this module.

    Raises:
        DataError: a condition is unfit, no event has a label, or a label has the name of another
            column; a column of a condition is a feature of requests, which would reveal the label.
    """
    if not conditions:
        return dataset
    events, labels, value = dataset.interactions, [], None
    for name, condition in conditions.items():
        _check_outcomes(dataset, name, condition)
        if name == VALUE:
            _numbers(events, name, condition)
            value = condition
            continue
        mask = _mask(events, name, condition)
        if not mask.any():
            raise DataError(f"schema: labels: no event has the label {name!r}")
        if name == CLICK and mask.all():
            continue
        column = _LABEL if name == CLICK else name
        if column not in events.column_names:
            events = events.append_column(column, pa.array(mask.astype(np.float32)))
        elif column != condition:
            raise DataError(
                f"schema: labels: {name} must be the column {column!r}, or the column renamed"
            )
        if name != CLICK:
            labels.append(name)
    return dataclasses.replace(dataset, interactions=events, labels=tuple(labels), value=value)


def _mask(events: pa.Table, name: str, condition: str) -> NDArray[np.bool_]:
    """Return the events ``[E]`` that have a label."""
    if condition in events.column_names and not pa.types.is_boolean(events[condition].type):
        return _numbers(events, name, condition) > 0
    try:
        return rows_where(events, condition, of="the events")
    except DataError as error:
        raise DataError(f"schema: labels: {name}: {error}") from None


def _numbers(events: pa.Table, name: str, column: str) -> NDArray[np.float64]:
    if column not in events.column_names:
        raise DataError(
            f"schema: labels: {name} must be a column of the events, got {column!r} (columns: "
            f"{', '.join(events.column_names)})"
        )
    values, faults = parse_numbers(events[column], column)
    if any(rows.any() for _, rows in faults):
        raise DataError(f"schema: labels: {name}: {column} must hold only finite numbers")
    return values


def _check_outcomes(dataset: Dataset, name: str, condition: str) -> None:
    """Check that no column of a condition is known before the event."""
    outside_text = re.sub(r"'(?:[^']|'')*'", "", condition)
    for column in dataset.event_columns:
        used = re.search(rf"(?<!\w){re.escape(column.name)}(?!\w)", outside_text)
        if used and column.known == "before" and name != VALUE:
            raise DataError(
                f"schema: {column.name} is an outcome, as the label {name} reads it: mark it "
                "{role: …, known: after}"
            )
