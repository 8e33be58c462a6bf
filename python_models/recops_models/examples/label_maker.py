"""Conversion of events to blocks of click examples with several labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recops_models.data.histories import Int64Array
from recops_models.examples.batch import task_feature
from recops_models.examples.block import Block, Column
from recops_models.examples.events import Events
from recops_models.examples.features import FittedSchema
from recops_models.examples.maker import ExampleMaker


class LabelMaker(ExampleMaker):
    """Maker of blocks with labels in addition to clicks.

    Negative items have label 0 in every task. A task is therefore learnt on all impressions (the
    entire space), not only on clicks.

    Args:
        events: all events of a split.
        fitted: fitted schema of :func:`~recops_models.examples.click_schema.click_schema`.
        labels: task → positive events ``[E]``, in the order of ``events``.
        targets: as in :class:`ExampleMaker`.
    """

    def __init__(
        self,
        events: Events,
        fitted: FittedSchema,
        labels: Mapping[str, NDArray[np.bool_]],
        targets: int = 1,
    ) -> None:
        super().__init__(events, fitted, targets)
        self._labels = labels

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks in addition to clicks."""
        return tuple(self._labels)

    def block(
        self,
        rows: Int64Array,
        item: Int64Array,
        label: NDArray[np.float32],
        at: Int64Array | None = None,
    ) -> Block:
        """Return examples as in :meth:`ExampleMaker.block`, with the labels of all tasks."""
        block = super().block(rows, item, label, at)
        is_positive = item == self.events.item[rows]
        for task, values in self._labels.items():
            task_label = (values[rows] & is_positive).astype(np.float32)
            block.columns[task_feature(task)] = Column(task_label)
        return block
