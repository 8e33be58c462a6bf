"""Runs that are trainings, some of them behind a teacher that is trained before them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from recops_evidence.experiments.once import one_at_a_time
from recops_evidence.experiments.training import (
    TRAINING,
    Training,
    job_of,
    some_users,
    train,
)
from recops_evidence.harness.experiment import ArmSettings, Metrics, Run
from recops_models.callbacks import Callbacks, Portion
from recops_models.click.rocket import RocketConfig
from recops_models.data import Dataset
from recops_models.recipes.parts import part

FIRST = "trained first"
"""The arm's setting ``teacher`` that asks for one."""


@dataclass(frozen=True)
class TeacherFirst(Training):
    """As :class:`Training`; a run with ``teacher`` set to :data:`FIRST` gets one of its seed.

    Runs of one seed share it: it is kept beside their folders, and never measured on test.

    Attributes:
        model: the teacher's.
        settings: of its training.
    """

    model: str
    settings: ArmSettings

    def config(self, run: Run) -> dict[str, object]:
        """The job; with it, where there is a teacher, the teacher's."""
        config = super().config(run)
        return (
            config
            if not _follows(run)
            else {**config, "teacher": TRAINING.config(self._teacher(run))}
        )

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """The teacher's training, unless it is there, and then the run's."""
        if not _follows(run):
            return super().measure(run, data, folder, callbacks)
        teacher = self._teacher(run)
        place = folder.parent / f"teacher-{teacher.key}"
        place.mkdir(exist_ok=True)
        some = some_users(data, run.share)
        with one_at_a_time(place):
            train(job_of(teacher), some, place, test=False, callbacks=Portion(callbacks, 0.0, 0.5))
        job = job_of(run)
        sizes = part(job.parts, "sizes", RocketConfig)
        sizes = dataclasses.replace(sizes, teacher=str(place / "model.safetensors"))
        job = dataclasses.replace(job, parts={**job.parts, "sizes": sizes})
        return train(job, some, folder, test=run.test, callbacks=Portion(callbacks, 0.5, 0.5))

    def _teacher(self, run: Run) -> Run:
        return Run(
            TRAINING, self.model, run.data, self.settings, run.seed, False, run.quick, run.share
        )


def _follows(run: Run) -> bool:
    return ("teacher", FIRST) in run.settings
