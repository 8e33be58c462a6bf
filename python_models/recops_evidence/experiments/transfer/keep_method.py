"""KEEP: knowledge that is extracted from the super-domain and plugged into a small model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from recops_evidence.experiments.once import one_at_a_time
from recops_evidence.experiments.training import trained_model
from recops_evidence.experiments.transfer.method import TransferMethod
from recops_evidence.experiments.transfer.source import DomainSource
from recops_evidence.harness.experiment import ArmSettings, Run
from recops_models.callbacks import Callbacks, Portion
from recops_models.click.keep import KeepConfig
from recops_models.click.model import ClickModel
from recops_models.examples.domains import Domains
from recops_models.graphs.knowledge import Knowledge
from recops_models.recipes.job import Job
from recops_models.recipes.keep_task import KeepTask
from recops_models.recipes.knowledge_stage import KNOWLEDGE, KnowledgeStage
from recops_models.recipes.parts import part
from recops_models.recipes.resuming import holds
from recops_models.recipes.run import train_job
from recops_models.recipes.setting_text import parse_settings
from recops_models.recipes.stage import StageContext
from recops_models.training.example_config import ExampleConfig

SHUFFLED = "shuffled"
"""Value of an arm's setting ``knowledge``: each user and item has the knowledge of another one."""


@dataclasses.dataclass(frozen=True)
class KeepMethod(TransferMethod):
    """Extraction of knowledge, once per seed for all arms, then a training with a plug.

    Attributes:
        source: cuts of the data sets.
        extraction: settings of ``keep`` under which knowledge is extracted.
    """

    source: DomainSource
    extraction: ArmSettings

    def job(self, run: Run) -> Job:
        """See :meth:`TransferMethod.job`."""
        own = {name: value for name, value in run.settings if name not in ("way", "knowledge")}
        settings = {**self._extraction_settings(run), **own}
        return Job.of(
            "keep", run.data, parse_settings("keep", settings), seed=run.seed, quick=run.quick
        )

    def prior_config(self, run: Run) -> dict[str, object]:
        """Return the settings of the extraction, and whose knowledge the run reads."""
        return {"extraction": dict(self.extraction), "knowledge": run.setting("knowledge")}

    def train(self, run: Run, domains: Domains, folder: Path, callbacks: Callbacks) -> ClickModel:
        """See :meth:`TransferMethod.train`."""
        path = self._knowledge(run, domains, folder.parent, Portion(callbacks, 0.0, 0.5))
        job = self.job(run)
        sizes = dataclasses.replace(part(job.parts, "sizes", KeepConfig), knowledge=str(path))
        job = dataclasses.replace(job, parts={**job.parts, "sizes": sizes})
        train_job(
            job,
            domains.dataset,
            folder,
            resume=holds(folder, job),
            callbacks=Portion(callbacks, 0.5, 0.5),
        )
        return trained_model(folder)

    def task(self, run: Run, domains: Domains, model: ClickModel) -> KeepTask:
        """See :meth:`TransferMethod.task`."""
        examples = part(self.job(run).parts, "examples", ExampleConfig)
        return KeepTask(domains.dataset, domains.config, examples, fitted=model.schema)

    def _extraction_settings(self, run: Run) -> dict[str, str]:
        return {**dict(self.extraction), **self.source.cut_settings(run.data)}

    def _knowledge(self, run: Run, domains: Domains, runs: Path, callbacks: Callbacks) -> Path:
        """Extract the knowledge, unless an earlier run did, and return the file of this run."""
        key = dataclasses.replace(run, settings=(), test=False).key
        folder = runs / f"knowledge-{key}"
        settings = self._extraction_settings(run)
        job = Job.of(
            "keep", run.data, parse_settings("keep", settings), seed=run.seed, quick=run.quick
        )
        extracted, shuffled = folder / KNOWLEDGE, folder / f"{SHUFFLED}.safetensors"
        with one_at_a_time(folder):
            if not extracted.exists():
                folder.mkdir(exist_ok=True)
                context = StageContext(
                    domains.dataset, None, job.parts, run.seed, folder, True, callbacks
                )
                KnowledgeStage().run(context)
            if not shuffled.exists():
                Knowledge.load(extracted).shuffled(run.seed).save(shuffled)
        return shuffled if run.setting("knowledge") == SHUFFLED else extracted
