"""Examples with the labels of several tasks, and the domain that each is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.columns import parse_numbers
from recops_models.data.errors import DataError
from recops_models.data.histories import AnyArray, Int64Array
from recops_models.data.splits import Split
from recops_models.examples.block import Block, Column
from recops_models.examples.events import PARTS, Events
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import DISLIKED, NEUTRAL
from recops_models.examples.maker import ExampleMaker

CLICK = "click"
AUTO = "auto"
DEFAULT_VALUE = "weight"
"""The column whose values the task ``"heavy"`` compares, where a source has it."""
DOMAIN = "task:domain"
"""Of a batch's features: ``[B]`` i64."""


def task_feature(task: str) -> str:
    """Where a batch has the labels ``[B]`` f32 of a task that is not :data:`CLICK`."""
    return f"task:{task}"


class TaskMaker(ExampleMaker):
    """Blocks that tell more of an event than whether it was liked.

    Further labels are of the event's own item: an item drawn beside it has 0 in every task, so that
    a task is learnt on all impressions (the entire space), and not among clicks alone.

    Args:
        events: all of them.
        fitted: of :func:`~recops_models.examples.click_schema.click_schema`.
        labels: by task, ``[E]``: which events have it, in the order of ``events``.
        domain: ``[E]`` i64: of each event.
        targets: see :class:`ExampleMaker`.
        of_items: ``[I]`` i64: of each item, −1 of one that has none, where items tell of domains.
            What is drawn beside an event is then of its own, for a domain that is not the item's
            would tell the label; an item without one, and every item with None, is of the event's.
    """

    def __init__(
        self,
        events: Events,
        fitted: FittedSchema,
        labels: Mapping[str, NDArray[np.bool_]],
        domain: Int64Array,
        targets: int = 1,
        of_items: Int64Array | None = None,
    ) -> None:
        super().__init__(events, fitted, targets)
        self._labels, self._domain, self._of_items = labels, domain, of_items

    @property
    def tasks(self) -> tuple[str, ...]:
        """Those beside clicks."""
        return tuple(self._labels)

    def block(self, rows: Int64Array, item: Int64Array, label: NDArray[np.float32]) -> Block:
        """See :meth:`ExampleMaker.block`."""
        block = super().block(rows, item, label)
        own = item == self.events.item[rows]
        for task, values in self._labels.items():
            found = (values[rows] & own).astype(np.float32)
            block.columns[task_feature(task)] = Column(found)
        block.columns[DOMAIN] = Column(self._domains(rows, item))
        return block

    def _domains(self, rows: Int64Array, item: Int64Array) -> Int64Array:
        """``[B]``: of examples that show ``item`` beside the events ``rows``."""
        of_events = self._domain[rows]
        if self._of_items is None:
            return of_events
        found = self._of_items[item]
        return np.where(found < 0, of_events, found)


def further_labels(
    split: Split,
    events: Events,
    labels: Sequence[str] = (AUTO,),
    value: str | None = DEFAULT_VALUE,
) -> dict[str, NDArray[np.bool_]]:
    """Return the labels of tasks other than clicks, by task ``[E]``, in the order of ``events``.

    ``"auto"`` in ``labels`` stands for these tasks:

    - ``"kept"``: not disliked, where there are dislikes and neutral events.
    - ``"heavy"``: the value (hours played, times bought) is above the training part's median, where
      values differ.

    Every other label is a column of the interactions; an event has it where the column is above 0.

    Args:
        split: of the super-domain.
        events: all events of ``split``.
        labels: columns, or ``"auto"``.
        value: the column of the values of ``"heavy"``; None: no such task.

    Raises:
        DataError: no such column, one that holds something else than finite numbers, or one that no
            event of the training part has; a column named like another task.
    """
    tasks: dict[str, NDArray[np.bool_]] = {}
    for label in labels:
        if label == AUTO:
            tasks |= _usual_labels(split, events, value)
        elif label == CLICK or label in tasks:
            raise DataError(f"{split.dataset.name}: task_labels must differ, got {label} twice")
        else:
            tasks[label] = _numbers(split, "task_labels", label) > 0
            if not tasks[label][events.part(0)].any():
                raise DataError(
                    f"{split.dataset.name}: task_labels must be above 0 in training events, "
                    f"{label} never is"
                )
    return tasks


def _usual_labels(split: Split, events: Events, value: str | None) -> dict[str, NDArray[np.bool_]]:
    tasks = {}
    if (events.said == NEUTRAL).any() and (events.said == DISLIKED).any():
        tasks["kept"] = events.said != DISLIKED
    columns = split.dataset.interactions.column_names
    if value is not None and (value != DEFAULT_VALUE or value in columns):
        amounts = _numbers(split, "task_value", value)
        heavy = amounts > np.median(amounts[events.part(0)])
        if heavy.any():
            tasks["heavy"] = heavy
    return tasks


def _numbers(split: Split, setting: str, column: str) -> AnyArray:
    """``[E]``: a numeric column of the interactions, without missing values."""
    name, names = split.dataset.name, split.dataset.interactions.column_names
    if column not in names:
        raise DataError(
            f"{name}: {setting} must name columns of the interactions, got {column!r}; there are "
            f"{', '.join(names)}"
        )
    values, faults = parse_numbers(_column(split, column), column)
    if any(rows.any() for _, rows in faults):
        raise DataError(f"{name}: {setting} must name columns of finite numbers, got {column}")
    # A median of float32 values stays a float32.
    floats = pa.types.is_floating(split.dataset.interactions[column].type)
    return of_events(split, column) if floats else values


def of_events(split: Split, column: str) -> AnyArray:
    """``[E]``: a column of a split's interactions in the order of its
    :class:`~recops_models.examples.events.Events`.
    """
    values: AnyArray = _column(split, column).to_numpy()
    return values


def _column(split: Split, column: str) -> pa.ChunkedArray:
    return pa.concat_tables([getattr(split, part) for part in ("context", *PARTS)])[column]
