"""Trainings as ``recops train`` runs them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from recops_evidence.experiments.predictions import prediction_draws
from recops_evidence.harness.experiment import Experiment, Metrics, Run
from recops_evidence.harness.user_draws import UserDraws
from recops_models.callbacks import Callbacks, Portion
from recops_models.click.model import ClickModel
from recops_models.data import Dataset, load, named_split
from recops_models.evaluation.floors import floors
from recops_models.evaluation.ranking_floors import ranking_floors
from recops_models.examples.click import ClickData, click_data
from recops_models.recipes.files import MODEL, load_model
from recops_models.recipes.job import Job
from recops_models.recipes.parts import part
from recops_models.recipes.resuming import holds
from recops_models.recipes.run import run_job
from recops_models.recipes.setting_text import parse_settings
from recops_models.recipes.stage import TrainingStage
from recops_models.training.curve import finite
from recops_models.training.example_config import ExampleConfig


@dataclass(frozen=True)
class Training(Experiment[Dataset]):
    """Training of a model, measured on the parts of a data set."""

    def config(self, run: Run) -> dict[str, object]:
        """Return the job with all defaults; see :meth:`Experiment.config`."""
        return job_of(run).config()

    def load(self, data: str) -> Dataset:
        """See :func:`recops_models.data.load`."""
        return load(data)

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """Train or resume, and return the metrics of the best epoch."""
        sampled = some_users(data, run.share)
        return train(job_of(run), sampled, folder, test=run.test, callbacks=callbacks)

    def floors_config(self, run: Run) -> object | None:
        """Return the data, its split and the settings of examples."""
        return {"data": run.data, "split": job_of(run).split, "examples": _examples(run)}

    def floors(self, run: Run, data: Dataset) -> dict[str, Metrics]:
        """Return the floors of a click model or of a ranker.

        See :func:`~recops_models.evaluation.floors.floors` and
        :func:`~recops_models.evaluation.ranking_floors.ranking_floors`.
        """
        examples, split = _examples(run), job_of(run).split
        if examples is None:
            return finite_floors(ranking_floors(named_split(data, split)[1]))
        return finite_floors(floors(click_data(data, split, **examples)))

    def user_draws(self, run: Run, folder: Path, test: Metrics) -> UserDraws | None:
        """Return bootstrap samples from the stored predictions of a run."""
        return prediction_draws(folder, [name for name, value in test.items() if value is not None])


TRAINING = Training()
"""Experiment of most claims; it has no state."""


def job_of(run: Run) -> Job:
    """Return the training of ``run``."""
    return Job.of(
        run.model,
        run.data,
        parse_settings(run.model, dict(run.settings)),
        seed=run.seed,
        quick=run.quick,
    )


def finite_floors(floors: Mapping[str, dict[str, float]]) -> dict[str, Metrics]:
    """Replace metrics that are not finite by None."""
    return {name: {**finite(metrics)} for name, metrics in floors.items()}


def _examples(run: Run) -> dict[str, Any] | None:
    """Return the settings of click examples without the history length; None for rankers."""
    job = job_of(run)
    if job.data_kind != "click":
        return None
    return {
        name: value
        for name, value in dataclasses.asdict(part(job.parts, "examples", ExampleConfig)).items()
        if name != "max_len"
    }


def some_users(data: Dataset, share: float) -> Dataset:
    """Return the data set with a fixed share of its users; all items stay."""
    if share == 1:
        return data
    known = data.interactions["user_id"].unique().sort()
    number = max(1, round(share * len(known)))
    chosen = np.sort(np.random.default_rng(0).permutation(len(known))[:number])
    mask = pc.is_in(data.interactions["user_id"], value_set=known.take(chosen))
    return dataclasses.replace(data, interactions=data.interactions.filter(mask))


def train(
    job: Job,
    data: Dataset | ClickData,
    folder: Path,
    *,
    test: bool,
    callbacks: Callbacks,
) -> tuple[Metrics, Metrics]:
    """Train a job and return its metrics on validation and, with ``test``, on test.

    A folder that holds this very job is resumed. A job that names files by path counts as another
    one after the files have moved.

    Args:
        job: the training.
        data: what it is trained on.
        folder: receives the model; exists.
        test: whether to measure test.
        callbacks: receive the share of all the job's trainings that is done.
    """
    portion = Portion(callbacks, weights=_epochs(job))
    resume = holds(folder, job)
    trained = run_job(job, data, folder, resume=resume, test=test, callbacks=portion)
    callbacks.advance(1.0)
    return trained.metrics["validation"], trained.metrics["test"]


def _epochs(job: Job) -> dict[str, float]:
    """Return the number of epochs of each of a job's stages; 1 for a stage without epochs."""
    stages = [stage for stage in job.recipe.stages() if stage.is_enabled(job.parts)]
    return {
        stage.name: stage.config(job.parts).epochs if isinstance(stage, TrainingStage) else 1
        for stage in stages
    }


def trained_model(folder: Path) -> ClickModel:
    """Return the click model of a run."""
    model = load_model(folder / MODEL)
    assert isinstance(model, ClickModel)
    return model
