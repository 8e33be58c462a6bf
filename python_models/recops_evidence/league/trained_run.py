"""Training of a run within its computing time, and the time of its requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from recops_evidence.experiments.training import job_of
from recops_evidence.harness.computing_time import computing_start
from recops_evidence.harness.experiment import Run
from recops_evidence.harness.out_of_time import TimeLimit
from recops_models.callbacks import CallbackList, Callbacks
from recops_models.recipes.job import Job
from recops_models.recipes.resuming import holds
from recops_models.recipes.run import train_job
from recops_models.recipes.stage import Data, TrainResult

MINUTES = 30.0
"""Largest computing time of a training, in core-minutes."""


class Trained(NamedTuple):
    """A trained run.

    Attributes:
        job: the training.
        result: its result.
        saved: the model as it is saved and used.
        seconds: computing time of the training, also that before an interruption.
    """

    job: Job
    result: TrainResult
    saved: nn.Module
    seconds: float

    @property
    def parameters(self) -> int:
        """Number of stored numbers."""
        return sum(tensor.numel() for tensor in self.saved.state_dict().values())


def train_run(run: Run, data: Data, folder: Path, callbacks: Callbacks) -> Trained:
    """Train or resume a run.

    Raises:
        OutOfTimeError: the training exceeds :data:`MINUTES`.
    """
    job = job_of(run)
    start = computing_start(folder)
    limited = CallbackList(callbacks, TimeLimit(MINUTES, start))
    result = train_job(job, data, folder, resume=holds(folder, job), callbacks=limited)
    callbacks.advance(1.0)
    _, saved = job.recipe.for_saving(result.model, job.parts)
    return Trained(job, result, saved.eval(), time.process_time() - start)


@torch.no_grad()
def median_ms(requests: Iterable[Callable[[], object]]) -> float:
    """Return the median computing time of requests in milliseconds; the first is not counted."""
    times = []
    for answer in requests:
        start = time.thread_time()
        answer()
        times.append(1000 * (time.thread_time() - start))
    return round(float(np.median(times[1:])), 4)
