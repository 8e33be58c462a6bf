"""Methods that transfer without knowledge: one training, a stream of slices, or fine-tuning."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from recops_evidence.experiments.once import one_at_a_time
from recops_evidence.experiments.training import trained_model
from recops_evidence.experiments.transfer.method import TransferMethod
from recops_evidence.experiments.transfer.ways import way_examples, way_split
from recops_evidence.harness.experiment import ArmSettings, Run
from recops_models.callbacks import Callbacks, Portion
from recops_models.click.model import ClickModel
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.domains import Domains, slices_of
from recops_models.recipes.click import ClickRecipe
from recops_models.recipes.files import MODEL
from recops_models.recipes.job import Job
from recops_models.recipes.parts import part
from recops_models.recipes.resuming import holds
from recops_models.recipes.run import train_job
from recops_models.recipes.setting_text import parse_settings
from recops_models.training.click_task import ClickTask
from recops_models.training.config import TrainingConfig
from recops_models.training.example_config import ExampleConfig
from recops_models.training.stream_task import StreamTask, stream_config
from recops_models.training.trainer import fit


@dataclass(frozen=True)
class BaselineMethod(TransferMethod):
    """One training on the examples that a setting ``way`` selects.

    Attributes:
        way: one of :data:`~recops_evidence.experiments.transfer.ways.WAYS`.
    """

    way: str

    def job(self, run: Run) -> Job:
        """See :meth:`TransferMethod.job`."""
        settings = dict(run.without("way").settings)
        return Job.of(
            run.model, run.data, parse_settings(run.model, settings), seed=run.seed, quick=run.quick
        )

    def train(self, run: Run, domains: Domains, folder: Path, callbacks: Callbacks) -> ClickModel:
        """See :meth:`TransferMethod.train`."""
        job = self.job(run)
        data = way_examples(job, domains, self.way)
        train_job(job, data, folder, resume=holds(folder, job), callbacks=Portion(callbacks))
        return trained_model(folder)

    def task(self, run: Run, domains: Domains, model: ClickModel) -> ClickTask:
        """See :meth:`TransferMethod.task`."""
        job = self.job(run)
        data = way_examples(job, domains, self.way, model.schema)
        return ClickTask(data, part(job.parts, "examples", ExampleConfig))


@dataclass(frozen=True)
class StreamMethod(BaselineMethod):
    """One training of a new model over a stream of slices."""

    def train(self, run: Run, domains: Domains, folder: Path, callbacks: Callbacks) -> ClickModel:
        """See :meth:`TransferMethod.train`."""
        job = self.job(run)
        data = way_examples(job, domains, self.way)
        recipe = job.recipe
        assert isinstance(recipe, ClickRecipe)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            model = recipe.net(data.fitted, job.parts["sizes"])
        fit_way(self.way, job, domains, model, data, folder, Portion(callbacks))
        return model


@dataclass(frozen=True)
class FineTuning(BaselineMethod):
    """Pretraining on the super-domain, once per seed, then a training on the small domain.

    Attributes:
        pretraining: settings of the base model's pretraining.
    """

    pretraining: ArmSettings

    def prior_config(self, run: Run) -> dict[str, object]:
        """Return the settings of the pretraining."""
        return {"pretraining": dict(self.pretraining)}

    def train(self, run: Run, domains: Domains, folder: Path, callbacks: Callbacks) -> ClickModel:
        """See :meth:`TransferMethod.train`."""
        job = self.job(run)
        model = self._pretrained(run, domains, folder.parent, Portion(callbacks, 0.0, 0.5))
        data = way_examples(job, domains, self.way, model.schema)
        fit_way(self.way, job, domains, model, data, folder, Portion(callbacks, 0.5, 0.5))
        return model

    def _pretrained(
        self, run: Run, domains: Domains, runs: Path, callbacks: Callbacks
    ) -> ClickModel:
        """Return the pretrained model, trained by the first run of a seed that asks for it."""
        settings = (*self.pretraining, ("way", "zero-shot"))
        first = dataclasses.replace(run, settings=settings, test=False)
        folder = runs / f"pretrained-{first.key}"
        with one_at_a_time(folder):
            folder.mkdir(exist_ok=True)
            if not (folder / MODEL).exists():
                BaselineMethod("zero-shot").train(first, domains, folder, callbacks)
        return trained_model(folder)


def fit_way(
    way: str,
    job: Job,
    domains: Domains,
    model: ClickModel,
    data: ClickData,
    folder: Path,
    callbacks: Callbacks,
) -> None:
    """Train ``model`` from its current weights, over slices of a stream if the cut has slices.

    Args:
        way: one of :data:`~recops_evidence.experiments.transfer.ways.WAYS`.
        job: its parts ``training`` and ``examples`` count.
        domains: the events and their cut.
        model: gets the weights of its best epoch, or of its last one over a stream.
        data: examples of the way.
        folder: keeps the checkpoint from which an interrupted training resumes.
        callbacks: receive the share of the training that is done.
    """
    config = part(job.parts, "training", TrainingConfig)
    slices, passes = domains.config.slices, domains.config.passes
    examples = part(job.parts, "examples", ExampleConfig)
    task = ClickTask(data, examples)
    if slices:
        settings = dataclasses.asdict(examples)
        sources = [
            click_data(piece.dataset, piece, **settings, fitted=data.fitted).train
            for piece in slices_of(way_split(domains, way), slices)
        ]
        config = stream_config(config, slices * passes)
        task = StreamTask(data, examples, sources, passes)
    fit(model, task, config, seed=job.seed, folder=folder, resume=True, callbacks=callbacks)
