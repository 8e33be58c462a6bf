"""First training of ``keep``: a knowledge extractor on the super-domain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recops_models.click.extractor import Extractor, ExtractorConfig
from recops_models.click.keep import KeepConfig
from recops_models.click.loss import click_loss
from recops_models.click.model import ClickModel
from recops_models.data.dataset import Dataset
from recops_models.data.splits import SplitName
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData
from recops_models.examples.domains import DomainConfig
from recops_models.examples.loader import Source
from recops_models.examples.tasks import task_feature
from recops_models.recipes.knowledge_problem import KnowledgeProblem
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import Data, StageContext, TrainingStage, TrainResult
from recops_models.training.click_problem import ExampleConfig
from recops_models.training.click_task import ExampleTask

KNOWLEDGE = "knowledge.safetensors"

_BATCH = 1024


class ExtractorTask(ExampleTask[Extractor]):
    """Multi-task loss ``Σ_t λ_t CE_t`` over all impressions.

    Validation reports the click metrics and the AUC of every further task.
    """

    def __init__(self, train: Source, validation: Source, batch: int, tasks: Sequence[str]) -> None:
        super().__init__(train, validation, batch)
        self._further = tuple(tasks[1:])

    @property
    def metrics(self) -> tuple[str, ...]:
        return (*CLICK_METRICS, *(f"auc_{task}" for task in self._further))

    def loss(self, model: Extractor, batch: Batch) -> tuple[Tensor, int]:
        click, *others = model.task_logits(batch).unbind(-1)
        total = click_loss(click, batch.label)
        for task, logits in zip(self._further, others, strict=True):
            label = batch.features[task_feature(task)]
            total = total + model.config.task_weight * click_loss(logits, label)
        return total, len(batch.label)

    @torch.no_grad()
    def evaluate(self, model: Extractor) -> dict[str, float]:
        metrics = self.validated(model)
        for index, task in enumerate(self._further, 1):
            logits, labels = [], []
            for batch in self.validation.batches(_BATCH, seed=None):
                logits.append(model.task_logits(batch)[:, index])
                labels.append(batch.features[task_feature(task)] > 0)
            metrics[f"auc_{task}"] = auc(torch.cat(logits).numpy(), torch.cat(labels).numpy())
        return metrics


class KnowledgeStage(TrainingStage[KnowledgeProblem, Extractor]):
    """Training of the extractor, which writes its knowledge to ``knowledge.safetensors``.

    The stage is left out when the setting ``knowledge`` names a finished file.
    """

    name = "knowledge"
    part = "extracting"

    def is_enabled(self, parts: Parts) -> bool:
        """Return whether there is no finished knowledge file."""
        return part(parts, "sizes", KeepConfig).knowledge is None

    def problem(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> KnowledgeProblem:
        """See :meth:`Stage.problem`."""
        return KnowledgeProblem(
            all_domains(data, split),
            part(parts, "domains", DomainConfig),
            part(parts, "examples", ExampleConfig),
            model.schema if isinstance(model, ClickModel) else None,
        )

    def build(self, problem: KnowledgeProblem, context: StageContext) -> Extractor:
        """See :meth:`TrainingStage.build`."""
        sizes = part(context.settings, "extractor", ExtractorConfig)
        return Extractor(problem.data.fitted, sizes, problem.tasks, len(problem.cut.names))

    def task(self, problem: KnowledgeProblem, model: Extractor, batch: int) -> ExtractorTask:
        """See :meth:`TrainingStage.task`."""
        return ExtractorTask(problem.data.train, problem.data.validation, batch, model.tasks)

    def run(self, context: StageContext) -> TrainResult:
        """Train the extractor, then write its knowledge into the stage's folder."""
        result = super().run(context)
        assert isinstance(result.problem, KnowledgeProblem)
        assert isinstance(result.model, Extractor)
        result.problem.extract(result.model).save(context.folder / KNOWLEDGE)
        return result


def all_domains(data: Data, split: SplitName | None) -> Dataset:
    """Return the data set that both stages of ``keep`` cut by domain and time.

    Raises:
        ValueError: ``data`` holds click examples instead of events, or ``split`` is given.
    """
    if isinstance(data, ClickData):
        raise ValueError(
            f"keep: data must be a data set, whose events are cut by domain and time, got the "
            f"examples of {data.name}"
        )
    if split is not None:
        raise ValueError(f"keep: split must be left out, since until and test say it, got {split}")
    return data
