"""A click model that goes with the time: slice after slice, each once, none a second time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from recops_models.examples.batch import Batch
from recops_models.examples.loader import Source
from recops_models.training.click_task import ClickTask
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import LAST
from recops_models.training.task import Pass


@dataclass(frozen=True, eq=False)
class StreamTask(ClickTask):
    """:class:`ClickTask`, where an epoch is a pass over one slice of the stream.

    Weights and the optimizer's moments go from slice to slice, as an online model's do.

    Attributes:
        slices: the examples of each, in time order; ``train`` is not read.
        passes: how often each slice is gone through before the next one.
    """

    slices: Sequence[Source] = ()
    passes: int = 1

    def start(self, seed: int, epoch: int, skip: int) -> Pass[Batch]:
        slice_ = ClickTask(self.slices[epoch // self.passes], self.validation, self.batch)
        return slice_.start(seed, epoch, skip)


def stream_config(config: TrainingConfig, epochs: int) -> TrainingConfig:
    """As ``config``, for a stream of so many passes: at one learning rate, its last state kept."""
    return dataclasses.replace(
        config, epochs=epochs, patience=epochs, select=LAST, warmup_epochs=0.0, decay=1.0
    )
