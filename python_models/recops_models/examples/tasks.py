"""Examples with the labels of several tasks, and the domain that each is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.histories import Int64Array
from recops_models.data.splits import Split
from recops_models.examples.block import Block, Column
from recops_models.examples.events import PARTS, Events
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import DISLIKED, NEUTRAL
from recops_models.examples.maker import ExampleMaker

CLICK = "click"
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


def further_labels(split: Split, events: Events) -> dict[str, NDArray[np.bool_]]:
    """What a source tells of events beside clicks, by task ``[E]``, in the order of ``events``.

    - ``"kept"``: not disliked, where there are dislikes and neutral events.
    - ``"heavy"``: a weight (hours played, times bought) above the training part's median, where
      weights differ.
    """
    found = {}
    if (events.said == NEUTRAL).any() and (events.said == DISLIKED).any():
        found["kept"] = events.said != DISLIKED
    if "weight" in split.dataset.interactions.column_names:
        weight = of_events(split, "weight")
        heavy = weight > np.median(weight[events.part(0)])
        if heavy.any():
            found["heavy"] = heavy
    return found


def of_events(split: Split, column: str) -> NDArray[Any]:
    """``[E]``: a column of a split's interactions in the order of its
    :class:`~recops_models.examples.events.Events`.
    """
    tables = [getattr(split, part) for part in ("context", *PARTS)]
    values: NDArray[Any] = pa.concat_tables(tables)[column].to_numpy()
    return values
