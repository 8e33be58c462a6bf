"""Examples of events with their own items and labels, made batch by batch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops_models.data.histories import Int64Array
from recops_models.examples.batch import Batch
from recops_models.examples.maker import ExampleMaker


@dataclass(frozen=True, eq=False)
class OwnExamples:
    """Examples of consecutive events, each with its own item and label.

    They take no memory in addition to that of their maker, because each batch is made when it is
    read.

    Attributes:
        maker: makes blocks; one example per history.
        first: first event.
        count: N, number of events.
        weight: ``[N]`` f32, weight of each example in the training loss; None: 1.
    """

    maker: ExampleMaker
    first: int
    count: int
    weight: NDArray[np.float32] | None = None

    run = None

    def __len__(self) -> int:
        return self.count

    @property
    def lengths(self) -> OwnLengths:
        """Length of each example's history."""
        return OwnLengths(self)

    def batch(self, rows: Int64Array) -> Batch:
        """See :meth:`~recops_models.examples.block.Block.batch`."""
        block = self.maker.own_block(self.first + rows)
        if self.weight is not None:
            block = dataclasses.replace(block, weight=self.weight[rows])
        return block.batch(np.arange(len(rows)))


@dataclass(frozen=True, eq=False)
class OwnLengths:
    """Lengths of the histories of :class:`OwnExamples`."""

    examples: OwnExamples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, rows: Int64Array) -> Int64Array:
        return self.examples.maker.history_lengths(self.examples.first + rows)
