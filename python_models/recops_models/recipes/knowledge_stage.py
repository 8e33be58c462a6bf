"""First training of ``keep``: a knowledge extractor on the super-domain."""

from __future__ import annotations

from typing import TypeAlias

from torch import nn

from recops_models import workers
from recops_models.click.extractor import Extractor, ExtractorConfig
from recops_models.click.keep import KeepConfig
from recops_models.click.model import ClickModel
from recops_models.data.dataset import Dataset
from recops_models.data.splits import SplitName
from recops_models.examples.click import ClickData
from recops_models.examples.domains import DomainConfig
from recops_models.recipes.continued_knowledge import continued_knowledge
from recops_models.recipes.knowledge_task import KnowledgeTask
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import Data, StageContext, TrainingStage, TrainResult
from recops_models.recipes.streamed_keep_tasks import StreamedKnowledgeTask
from recops_models.training.example_config import ExampleConfig

AnyKnowledgeTask: TypeAlias = KnowledgeTask | StreamedKnowledgeTask
"""Task of the extractor on events in memory or on examples in files."""

KNOWLEDGE = "knowledge.safetensors"


class KnowledgeStage(TrainingStage[AnyKnowledgeTask, Extractor]):
    """Training of the extractor, which writes its knowledge to ``knowledge.safetensors``.

    The stage is left out when the setting ``knowledge`` names a finished file.
    """

    name = "knowledge"
    part = "extracting"

    def is_enabled(self, parts: Parts) -> bool:
        """Return whether there is no finished knowledge file."""
        return part(parts, "sizes", KeepConfig).knowledge is None

    def task(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> AnyKnowledgeTask:
        """See :meth:`Stage.task`."""
        fitted = model.schema if isinstance(model, ClickModel) else None
        domains = part(parts, "domains", DomainConfig)
        examples = part(parts, "examples", ExampleConfig)
        if isinstance(data, ClickData):
            check_streamed(data, domains, split)
            return StreamedKnowledgeTask(data, examples, fitted)
        return KnowledgeTask(all_domains(data, split), domains, examples, fitted)

    def build(self, task: AnyKnowledgeTask, context: StageContext) -> Extractor:
        """See :meth:`TrainingStage.build`."""
        sizes = part(context.settings, "extractor", ExtractorConfig)
        return Extractor(task.data.fitted, sizes, task.tasks, len(task.domains))

    def run(self, context: StageContext) -> TrainResult:
        """Train the extractor, then write its knowledge into the stage's folder.

        A continued training trains a new extractor on the newer data. Its knowledge is rotated onto
        the earlier one, so that the plug continues.
        """
        result = super().run(context)
        assert isinstance(result.task, KnowledgeTask | StreamedKnowledgeTask)
        assert isinstance(result.model, Extractor)
        if workers.is_first():
            knowledge = result.task.extract(result.model)
            if context.start is not None:
                knowledge = continued_knowledge(knowledge, context.start, context.callbacks)
            knowledge.save(context.folder / KNOWLEDGE)
        return result


def all_domains(data: Data, split: SplitName | None) -> Dataset:
    """Return the data set that both stages of ``keep`` cut by domain and time.

    Raises:
        ValueError: ``split`` is given.
    """
    assert isinstance(data, Dataset)
    if split is not None:
        raise ValueError(
            f"keep: split must be left out, since until and test define it, got {split}"
        )
    return data


def check_streamed(data: ClickData, domains: DomainConfig, split: SplitName | None) -> None:
    """Check settings of ``keep`` on streamed examples, whose files define domains and parts.

    Raises:
        ValueError: examples in memory, settings of domains, or a split.
    """
    if not data.files:
        raise ValueError(
            f"keep: data must be a data set, or examples in files, got the examples of {data.name}"
        )
    if domains != DomainConfig():
        raise ValueError(
            f"keep: settings of domains must be left out, since the files of {data.name} define "
            "the domains"
        )
    if split is not None:
        raise ValueError(f"{data.name} is already split: leave out the split {split}")
