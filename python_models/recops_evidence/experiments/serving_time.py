"""Latency of click models: time to score one user's candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from recops.benchmarks.timing import interleave
from recops_evidence.experiments.training import job_of
from recops_evidence.harness.experiment import ArmSettings, Experiment, Metrics, Run
from recops_models.callbacks import Callbacks
from recops_models.data import Dataset, load
from recops_models.examples.batch import Batch
from recops_models.examples.candidates import Candidates
from recops_models.recipes.job import Job
from recops_models.recipes.parts import part
from recops_models.recipes.setting_text import parse_settings
from recops_models.recipes.stage import StageContext, TrainingStage
from recops_models.training.click_task import ExampleTask
from recops_models.training.example_config import ExampleConfig

_CANDIDATES = 100


@dataclass(frozen=True)
class ServingTime(Experiment[Dataset]):
    """Latencies of a model and a reference, measured alternately in one process.

    The minimum of each side counts. Weights are untrained, because time does not depend on them;
    the seed selects the user. There is no validation part, so nothing can be tuned. Figures depend
    on the machine and on torch's number of threads, and differ slightly between repetitions.

    Attributes:
        model: the reference.
        settings: settings of the reference and of the examples.
    """

    alone: ClassVar[bool] = True
    model: str
    settings: ArmSettings

    def config(self, run: Run) -> list[object]:
        """Return both jobs and the number of candidates."""
        return [job_of(run).config(), self._reference(run).config(), _CANDIDATES]

    def load(self, data: str) -> Dataset:
        """See :func:`recops_models.data.load`."""
        return load(data)

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """Return ``microseconds`` per request (100 candidates) and ``time_ratio`` to the reference.

        Raises:
            ValueError: the run is a trial.
        """
        if not run.test:
            raise ValueError(
                f"{run.model}: latencies have no validation part, so they cannot be tuned"
            )
        sides = [
            _scorer(job, data, run.seed, folder) for job in (job_of(run), self._reference(run))
        ]
        with torch.no_grad():
            seconds, reference = interleave(*sides, pairs=2000, seconds=0.2 if run.quick else 2.0)
        return {}, {"time_ratio": seconds / reference, "microseconds": seconds * 1e6}

    def _reference(self, run: Run) -> Job:
        return Job.of(
            self.model,
            run.data,
            parse_settings(self.model, dict(self.settings)),
            seed=run.seed,
            quick=run.quick,
        )


def _scorer(job: Job, data: Dataset, seed: int, folder: Path) -> Callable[[], torch.Tensor]:
    """Return a function that scores one request."""
    stage = job.recipe.stages()[-1]
    assert isinstance(stage, TrainingStage)
    task, untrained = stage.begin(StageContext(data, job.split, job.parts, seed, folder))
    assert isinstance(task, ExampleTask)
    _, model = job.recipe.for_saving(untrained, job.parts)
    model.eval()
    user = seed % len(data.user_vocabulary.ids)
    examples = part(job.parts, "examples", ExampleConfig)
    every = Candidates(data, task.data.fitted, positive=examples.positive).shown_to(user)
    request = Batch(
        {name: value[:_CANDIDATES].contiguous() for name, value in every.features.items()},
        {name: value[:_CANDIDATES] for name, value in every.lengths.items()},
        every.label[:_CANDIDATES],
        every.group[:_CANDIDATES],
    )
    return lambda: model(request)
