"""Experiment that measures transfer from a super-domain into a small domain."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from recops_evidence.experiments.training import Training, finite_floors
from recops_evidence.experiments.transfer.baseline_methods import (
    BaselineMethod,
    FineTuning,
    StreamMethod,
)
from recops_evidence.experiments.transfer.buckets import bucket_aucs, with_buckets
from recops_evidence.experiments.transfer.keep_method import KeepMethod
from recops_evidence.experiments.transfer.method import TransferMethod
from recops_evidence.experiments.transfer.source import DomainSource
from recops_evidence.experiments.transfer.ways import WAYS, way_examples
from recops_evidence.harness.experiment import ArmSettings, Metrics, Run
from recops_evidence.harness.user_draws import UserDraws
from recops_models.callbacks import Callbacks
from recops_models.data import Dataset
from recops_models.data.storage import write_table
from recops_models.evaluation.floors import floors
from recops_models.recipes.parts import part
from recops_models.recipes.predictions import PREDICTIONS
from recops_models.training.curve import finite
from recops_models.training.example_config import ExampleConfig


@dataclass(frozen=True)
class Transfer(Training):
    """Trainings on a small domain by KEEP or another method.

    An arm's model is ``keep``, or a click model with a setting ``way``. Trainings on the
    super-domain run once per seed for all arms. Metrics are those of all examples and the AUC of
    each bucket (:data:`~recops_evidence.experiments.transfer.buckets.BUCKETS`).

    Attributes:
        source: data sets and their cuts.
        extraction: settings of ``keep`` under which knowledge is extracted.
        pretraining: settings of the base model's pretraining for ``fine-tune``.
    """

    source: DomainSource
    extraction: ArmSettings
    pretraining: ArmSettings

    @property
    def label(self) -> str:
        """See :attr:`Experiment.label`."""
        return self.source.label

    def config(self, run: Run) -> dict[str, object]:
        """Return the job, the domains and the settings of a training that comes first."""
        method = self._method(run)
        return {
            **method.job(run).config(),
            "way": run.setting("way"),
            **self.source.config(run),
            **method.prior_config(run),
        }

    def load(self, data: str) -> Dataset:
        """See :meth:`DomainSource.load`."""
        return self.source.load(data)

    def takes(self, data: str) -> bool:
        """Return whether the source has a cut of ``data``."""
        return data in dict(self.source.cuts)

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """Train the run's model and measure it on all examples and in each bucket."""
        method, domains = self._method(run), self.source.domains(run, data)
        model = method.train(run, domains, folder, callbacks)
        task = method.task(run, domains, model)
        metrics: list[Metrics] = []
        for name in ("validation", "test") if run.test else ("validation",):
            part_metrics, predictions = task.measure(model, name)
            predictions = with_buckets(predictions, domains, name)
            metrics.append({**finite(part_metrics), **bucket_aucs(predictions)})
            if name == "test":
                write_table(folder / PREDICTIONS, predictions)
        callbacks.advance(1.0)
        validation, *test = metrics
        return validation, test[0] if test else {}

    def user_draws(self, run: Run, folder: Path, test: Metrics) -> UserDraws | None:
        """Return no draws for synthetic clicks: each seed has other users."""
        return None if self.source.law(run.data) else super().user_draws(run, folder, test)

    def floors_config(self, run: Run) -> object | None:
        """Return the data, its cut and the settings of examples."""
        law = self.source.law(run.data)
        examples = part(self._method(run).job(run).parts, "examples", ExampleConfig)
        return {
            **self.source.config(run),
            "law": None if law is None else {**dataclasses.asdict(law), "seed": run.seed},
            "examples": dataclasses.asdict(examples),
            "data": run.data,
        }

    def floors(self, run: Run, data: Dataset) -> dict[str, Metrics]:
        """Return the floors of the small domain after the cut."""
        job, domains = self._method(run).job(run), self.source.domains(run, data)
        return finite_floors(floors(way_examples(job, domains, "base")))

    def _method(self, run: Run) -> TransferMethod:
        """Return the method of a run.

        Raises:
            ValueError: unknown ``way``.
        """
        if run.model == "keep":
            return KeepMethod(self.source, self.extraction)
        way = run.setting("way")
        if way not in WAYS:
            raise ValueError(f"way must be one of {', '.join(WAYS)}, got {way!r}")
        if way == "fine-tune":
            return FineTuning(way, self.pretraining)
        slices = self.source.cut(run.data).slices
        return StreamMethod(way) if slices else BaselineMethod(way)
