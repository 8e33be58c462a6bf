"""Examples with labels of several tasks and a domain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recops_models.data.histories import Int64Array
from recops_models.examples.block import Block, Column
from recops_models.examples.events import Events
from recops_models.examples.features import FittedSchema
from recops_models.examples.maker import ExampleMaker

DOMAIN = "task:domain"
"""Batch feature with the domain index ``[B]`` i64."""


class TaskMaker(ExampleMaker):
    """Maker of blocks with labels of several tasks and a domain.

    Args:
        events: all events of a split.
        fitted: fitted schema of :func:`~recops_models.examples.click_schema.click_schema`.
        labels: task → positive events ``[E]``, in the order of ``events``.
        domain: ``[E]`` i64, domain of each event.
        targets: as in :class:`ExampleMaker`.
        item_domains: ``[I]`` i64, domain of each item, −1 if it has none. A negative item then has
            its own domain; the event's domain would reveal the label. Without a domain of the item,
            the example has the event's domain.
    """

    def __init__(
        self,
        events: Events,
        fitted: FittedSchema,
        labels: Mapping[str, NDArray[np.bool_]],
        domain: Int64Array,
        targets: int = 1,
        item_domains: Int64Array | None = None,
    ) -> None:
        super().__init__(dataclasses.replace(events, labels=labels), fitted, targets)
        self._domain, self._item_domains = domain, item_domains

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks in addition to clicks."""
        return tuple(self.events.labels)

    def block(
        self,
        rows: Int64Array,
        item: Int64Array,
        label: NDArray[np.float32],
        at: Int64Array | None = None,
    ) -> Block:
        """Return examples as in :meth:`ExampleMaker.block`, with domains."""
        block = super().block(rows, item, label, at)
        block.columns[DOMAIN] = Column(self._domains(rows, item))
        return block

    def _domains(self, rows: Int64Array, item: Int64Array) -> Int64Array:
        """Return the domain ``[B]`` of examples that show ``item`` at the events ``rows``."""
        event_domain = self._domain[rows]
        if self._item_domains is None:
            return event_domain
        item_domain = self._item_domains[item]
        return np.where(item_domain < 0, event_domain, item_domain)
