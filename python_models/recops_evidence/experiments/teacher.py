"""Trainings of which some first train a teacher."""

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
"""Value of an arm's setting ``teacher`` that trains one first."""


@dataclass(frozen=True)
class TeacherFirst(Training):
    """Trainings; a run with ``teacher`` set to :data:`FIRST` learns from a teacher of its seed.

    Runs of one seed share the teacher. Its folder is next to theirs, and its test part is never
    measured.

    Attributes:
        model: model of the teacher.
        settings: settings of the teacher's training.
    """

    model: str
    settings: ArmSettings

    def config(self, run: Run) -> dict[str, object]:
        """Return the job, and the teacher's job if there is a teacher."""
        config = super().config(run)
        return (
            config
            if not _follows(run)
            else {**config, "teacher": TRAINING.config(self._teacher(run))}
        )

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """Train the teacher, unless it exists, then the run's model."""
        if not _follows(run):
            return super().measure(run, data, folder, callbacks)
        teacher = self._teacher(run)
        teacher_folder = folder.parent / f"teacher-{teacher.key}"
        teacher_folder.mkdir(exist_ok=True)
        sampled = some_users(data, run.share)
        with one_at_a_time(teacher_folder):
            half = Portion(callbacks, 0.0, 0.5)
            train(job_of(teacher), sampled, teacher_folder, test=False, callbacks=half)
        job = job_of(run)
        sizes = part(job.parts, "sizes", RocketConfig)
        sizes = dataclasses.replace(sizes, teacher=str(teacher_folder / "model.safetensors"))
        job = dataclasses.replace(job, parts={**job.parts, "sizes": sizes})
        return train(job, sampled, folder, test=run.test, callbacks=Portion(callbacks, 0.5, 0.5))

    def _teacher(self, run: Run) -> Run:
        return Run(
            TRAINING, self.model, run.data, self.settings, run.seed, False, run.quick, run.share
        )


def _follows(run: Run) -> bool:
    return ("teacher", FIRST) in run.settings
