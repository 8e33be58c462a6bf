"""Second training of ``keep``: a base model and its plug, on the small domain."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeAlias

from torch import nn

from recops_models import workers
from recops_models.click.inheriting import inherit_weights
from recops_models.click.keep import Keep, KeepConfig, plug_in
from recops_models.click.model import ClickModel
from recops_models.data.splits import Split, SplitName
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.examples.click import ClickData
from recops_models.examples.domains import DomainConfig, Domains
from recops_models.examples.events import Events
from recops_models.examples.extend_schema import extended_schema
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import feedback_of
from recops_models.examples.fit_click import fit_click_schema
from recops_models.examples.knowledge_features import with_knowledge, without_knowledge
from recops_models.graphs.knowledge import Knowledge
from recops_models.layers.plug import PluggedHead
from recops_models.recipes.click_nets import NetRecipe, click_net
from recops_models.recipes.click_stage import earlier_click_model
from recops_models.recipes.continued_knowledge import continued_knowledge
from recops_models.recipes.keep_task import KeepTask
from recops_models.recipes.knowledge_stage import (
    KNOWLEDGE,
    KnowledgeStage,
    all_domains,
    check_streamed,
)
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import Data, StageContext, TrainingStage
from recops_models.recipes.streamed_keep_tasks import StreamedKeepTask
from recops_models.setting_checks import check_file
from recops_models.training.config import TrainingConfig
from recops_models.training.device import HOST, fork_generators
from recops_models.training.example_config import ExampleConfig
from recops_models.training.stream_task import stream_config
from recops_models.training.trainer import check_select

AnyKeepTask: TypeAlias = KeepTask | StreamedKeepTask
"""Task of the plug on events in memory or on examples in files."""


class KeepStage(TrainingStage[AnyKeepTask, ClickModel]):
    """Training of the base model and its plug; the knowledge stays frozen."""

    name = "keep"

    def check(self, context: StageContext) -> None:
        """Check the settings of the base model before the extractor is trained.

        Raises:
            ValueError: see :meth:`Stage.check`.
            FileNotFoundError: the setting ``knowledge`` names no file.
        """
        sizes = part(context.settings, "sizes", KeepConfig)
        if sizes.knowledge is not None:
            check_file("keep", "knowledge", Path(sizes.knowledge))
        check_select(CLICK_METRICS, self.config(context.settings))
        domains = part(context.settings, "domains", DomainConfig)
        if isinstance(context.data, ClickData):
            check_streamed(context.data, domains, context.split)
            self._check_base(context, context.data.fitted)
            return
        small = Domains.of(all_domains(context.data, context.split), domains).small_domain()
        if domains.slices > small.train.num_rows:
            raise ValueError(
                f"domains: slices must be ≤ {small.train.num_rows:,}, the events of training, got "
                f"{domains.slices:,}"
            )
        fitted = _small_schema(small, part(context.settings, "examples", ExampleConfig))
        self._check_base(context, fitted)

    @staticmethod
    def _check_base(context: StageContext, fitted: FittedSchema) -> None:
        """Check that the base model and the plug can be built."""
        sizes = part(context.settings, "sizes", KeepConfig)
        with fork_generators(HOST):
            base = _base_recipe(context).outline(fitted, context.settings["base"])
            PluggedHead(base.head, dict.fromkeys(sizes.parts, 1), sizes.plug, hidden=1)

    def task(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> AnyKeepTask:
        """See :meth:`Stage.task`; ``model`` brings the rows of its knowledge."""
        if isinstance(data, ClickData):
            return StreamedKeepTask(data, part(parts, "examples", ExampleConfig))
        return KeepTask(
            all_domains(data, split),
            part(parts, "domains", DomainConfig),
            part(parts, "examples", ExampleConfig),
            fitted=model.schema if isinstance(model, ClickModel) else None,
        )

    def begin(self, context: StageContext) -> tuple[AnyKeepTask, ClickModel]:
        """See :meth:`TrainingStage.begin`; reads the knowledge of the first stage."""
        if isinstance(context.data, ClickData):
            return self._begin_streamed(context, context.data)
        dataset = all_domains(context.data, context.split)
        domains = part(context.settings, "domains", DomainConfig)
        examples = part(context.settings, "examples", ExampleConfig)
        knowledge = workers.on_first(lambda: _knowledge(context))
        fitted = None
        if context.start is not None:
            earlier = earlier_click_model(context.start)
            small = Domains.of(dataset, domains).small_domain()
            newer = _small_schema(small, examples)
            fitted = extended_schema(without_knowledge(earlier.schema), newer)
            fitted = with_knowledge(fitted, knowledge.lookups)
        task = KeepTask(dataset, domains, examples, knowledge=knowledge, fitted=fitted)
        with fork_generators(context.device, context.seed):
            model = self.build(task, context)
        if context.start is not None:
            inherit_weights(model, model.schema, earlier, without=["reader."])
        return task, model

    def _begin_streamed(
        self, context: StageContext, data: ClickData
    ) -> tuple[StreamedKeepTask, ClickModel]:
        if context.start is not None:
            raise ValueError("keep: a training on streamed examples cannot be continued by --from")
        knowledge = workers.on_first(lambda: _knowledge(context))
        examples = part(context.settings, "examples", ExampleConfig)
        task = StreamedKeepTask(data, examples, knowledge=knowledge)
        with fork_generators(context.device, context.seed):
            return task, self.build(task, context)

    def build(self, task: AnyKeepTask, context: StageContext) -> Keep:
        """See :meth:`TrainingStage.build`; the base starts with the weights it has without a plug.

        The base reads no rows of the knowledge, so its schema lacks them.
        """
        assert task.knowledge is not None
        schema = without_knowledge(task.data.fitted)
        base_data = dataclasses.replace(task.data, fitted=schema)
        base = _base_recipe(context).build(base_data, context.with_sizes("base"))
        return plug_in(base, task.knowledge, part(context.settings, "sizes", KeepConfig))

    def config(self, parts: Parts) -> TrainingConfig:
        """See :meth:`TrainingStage.config`.

        With slices, the learning rate is constant and the last epoch's weights are the result.
        """
        domains, config = part(parts, "domains", DomainConfig), super().config(parts)
        if not domains.slices:
            return config
        return stream_config(config, domains.slices * domains.passes)


def _small_schema(small: Split, examples: ExampleConfig) -> FittedSchema:
    """Return the fitted features of the small domain, without rows of the knowledge."""
    feedback = examples.feedback or feedback_of(small.dataset)
    return fit_click_schema(
        Events.of(small, feedback, examples.positive),
        feedback,
        max_len=examples.max_len,
        rare_count=examples.rare_count,
        rare_share=examples.rare_share,
        signed=examples.signed,
        running_rates=examples.running_rates,
    )


def _base_recipe(context: StageContext) -> NetRecipe:
    return click_net("keep", part(context.settings, "sizes", KeepConfig).base)


def _knowledge(context: StageContext) -> Knowledge:
    """Return the knowledge of the plug; a continued training reads it in its earlier basis."""
    knowledge = Knowledge.load(_knowledge_path(context))
    if context.start is None:
        return knowledge
    return continued_knowledge(knowledge, context.start, context.callbacks)


def _knowledge_path(context: StageContext) -> Path:
    """Return the path of the named knowledge file, or of the one that the first stage wrote."""
    file = part(context.settings, "sizes", KeepConfig).knowledge
    return context.folder / KnowledgeStage.name / KNOWLEDGE if file is None else Path(file)
