"""Runs that are trainings, as ``recops train`` makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recops_models.data import Dataset, load
from recops_models.evidence.harness.experiment import Experiment, Metrics, Run
from recops_models.evidence.harness.users_interval import users_interval
from recops_models.examples.click import ClickData
from recops_models.recipes.job import Job
from recops_models.recipes.run import run_job
from recops_models.recipes.watch import Watch


@dataclass(frozen=True)
class Training(Experiment[Dataset]):
    """Trains a model and measures it on the parts of a data set."""

    def config(self, run: Run) -> dict[str, object]:
        """The job, the model's defaults among it; see :meth:`Experiment.config`."""
        return job_of(run).config()

    def load(self, data: str) -> Dataset:
        """See :func:`recops_models.data.load`."""
        return load(data)

    def measure(
        self, run: Run, data: Dataset, folder: Path, on_step: Callable[[float], None]
    ) -> tuple[Metrics, Metrics]:
        """Train, from the last epoch that an interrupted start left; the best epoch's metrics."""
        return train(job_of(run), data, folder, test=run.test, on_step=on_step)

    def users_interval(
        self, metric: str, first: Sequence[Path], second: Sequence[Path]
    ) -> tuple[float, float] | None:
        """By the bootstrap over the predictions that runs left."""
        return users_interval(metric, first, second)


TRAINING = Training()
"""As most claims have it; it has no state."""


def job_of(run: Run) -> Job:
    """The training that ``run`` is."""
    return Job.of(run.model, run.data, dict(run.settings), seed=run.seed, quick=run.quick)


def train(
    job: Job,
    data: Dataset | ClickData,
    folder: Path,
    *,
    test: bool,
    on_step: Callable[[float], None],
) -> tuple[Metrics, Metrics]:
    """Metrics on validation and, if asked for, on test; ``folder`` is gone on with."""
    watch = _ShareWatch(job.epochs, on_step)
    trained = run_job(job, data, folder, resume=True, test=test, watch=watch)
    metrics: dict[str, Metrics] = trained.metrics
    return metrics["validation"], metrics["test"]


class _ShareWatch(Watch):
    """Tells the share of all epochs that is done."""

    def __init__(self, epochs: int, on_step: Callable[[float], None]) -> None:
        self._epochs, self._on_step = epochs, on_step

    def step(self, epoch: int, share: float, loss: float) -> None:
        self._on_step((epoch + share) / self._epochs)
