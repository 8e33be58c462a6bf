"""Streamed training of click models: the training part in time order, slice by slice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from recops_models.examples.click import ClickData
from recops_models.examples.loader import Source
from recops_models.training.click_task import ClickTask
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import LAST
from recops_models.training.example_config import ExampleConfig


class StreamTask(ClickTask):
    """Click prediction whose epochs are passes over one slice of the training part each.

    Weights and optimizer moments are kept from slice to slice, as in online training.

    Args:
        data: the examples; their training part is not read.
        examples: how they were built.
        slices: the training examples of each slice, in time order.
        passes: epochs per slice.
    """

    def __init__(
        self, data: ClickData, examples: ExampleConfig, slices: Sequence[Source], passes: int
    ) -> None:
        super().__init__(data, examples)
        self._slices, self._passes = slices, passes

    def training_part(self, epoch: int) -> Source:
        """See :meth:`ExampleTask.training_part`."""
        return self._slices[epoch // self._passes]


def stream_config(config: TrainingConfig, epochs: int) -> TrainingConfig:
    """Return ``config`` for streamed training: a constant learning rate, no early stopping.

    Args:
        config: the settings of an ordinary training.
        epochs: number of slices times passes per slice; the model of the last one is kept.
    """
    return dataclasses.replace(
        config, epochs=epochs, patience=epochs, select=LAST, warmup_epochs=0.0, decay=1.0
    )
