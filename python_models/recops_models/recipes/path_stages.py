"""Stages of path rankers: next-token prediction, then alignment by rewards and preferences."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

from torch import nn

from recops_models.data.attributes import item_attributes, user_fields
from recops_models.data.splits import SplitName
from recops_models.evaluation.metrics import RANKING_METRICS
from recops_models.examples.engagement import EngagementConfig
from recops_models.examples.scenes import SceneConfig
from recops_models.examples.sequence_dataset import SequenceDataset
from recops_models.generative.path_ranker import PathRanker
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.parts import Parts, PartSettings, part
from recops_models.recipes.ranking import check_dataset
from recops_models.recipes.stage import Data, StageContext, TrainingStage
from recops_models.training.alignment_config import AlignmentConfig
from recops_models.training.alignment_task import AlignmentTask
from recops_models.training.config import ChoiceConfig, TrainingConfig
from recops_models.training.path_events import ENGAGED
from recops_models.training.path_task import PathTask
from recops_models.training.streamed_path_task import (
    StreamedPathTask,
    check_streamable,
    event_columns,
    resolved_engagement,
)
from recops_models.training.trainer import CHECKPOINT, check_select

AnyPathTask: TypeAlias = PathTask | StreamedPathTask
"""Next-token prediction on histories in memory or in files."""


def path_parts() -> dict[str, PartSettings]:
    """Return the default settings of both stages."""
    return {
        "training": TrainingConfig(),
        "choice": ChoiceConfig(),
        "engagement": EngagementConfig(),
        "scenes": SceneConfig(),
        "alignment": AlignmentConfig(),
    }


class NextTokenStage(TrainingStage[AnyPathTask, PathRanker]):
    """Training on the tokens of the next item, weighted by engagement.

    Args:
        name: name of the model.
        make: builds the model from its task and a context.
        files: names of the files that ``make`` writes.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[AnyPathTask, StageContext], PathRanker],
        *,
        files: tuple[str, ...] = (),
    ) -> None:
        self.name, self.make = name, make
        self.files = (CHECKPOINT, *files)

    def check(self, context: StageContext) -> None:
        """See :meth:`Stage.check`; this also covers :class:`AlignmentStage`."""
        inputs = part(context.settings, "inputs", InputConfig)
        if isinstance(context.data, SequenceDataset):
            item_attributes(context.data, inputs.attributes)
            check_streamable(
                context.data,
                part(context.settings, "scenes", SceneConfig),
                part(context.settings, "alignment", AlignmentConfig),
                inputs.user_fields,
            )
            engagement = part(context.settings, "engagement", EngagementConfig)
            for name in event_columns(resolved_engagement(context.data, engagement)):
                context.data.reader("train", (name,))
            check_select((*RANKING_METRICS, ENGAGED), self.config(context.settings))
            return
        task = PathTask(*self._task_arguments(context.data, context.settings, context.split))
        item_attributes(task.dataset, inputs.attributes)
        user_fields(task.dataset, inputs.user_fields)
        _ = task.events  # Raises for unfit columns.
        check_select(task.metrics, self.config(context.settings))

    def task(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> AnyPathTask:
        """See :meth:`Stage.task`."""
        if isinstance(data, SequenceDataset):
            most = part(parts, "choice", ChoiceConfig).validation_users
            engagement = part(parts, "engagement", EngagementConfig)
            return StreamedPathTask(data, engagement, split, most)
        return PathTask(*self._task_arguments(data, parts, split))

    def build(self, task: AnyPathTask, context: StageContext) -> PathRanker:
        """See :meth:`TrainingStage.build`."""
        return self.make(task, context)

    def _task_arguments(self, data: Data, parts: Parts, split: SplitName | None) -> tuple[Any, ...]:
        return (
            check_dataset(self.name, data),
            part(parts, "engagement", EngagementConfig),
            part(parts, "scenes", SceneConfig),
            part(parts, "alignment", AlignmentConfig),
            split,
            part(parts, "choice", ChoiceConfig).validation_users,
        )


class AlignmentStage(NextTokenStage):
    """Training by rewards and preferences, from the model of a :class:`NextTokenStage`.

    That model, frozen, is the reference. The learning rate is a share of the earlier one.

    Args:
        earlier: name of the earlier stage.
    """

    def __init__(self, earlier: str) -> None:
        super().__init__("alignment", lambda _, context: self._copy_model(context))
        self._earlier = earlier

    def check(self, context: StageContext) -> None:
        """Check nothing: the earlier stage has checked its settings and these."""

    def is_enabled(self, parts: Parts) -> bool:
        """See :meth:`Stage.is_enabled`: not with ``align=none``."""
        return part(parts, "alignment", AlignmentConfig).align != "none"

    def config(self, parts: Parts) -> TrainingConfig:
        """See :meth:`TrainingStage.config`."""
        training, alignment = super().config(parts), part(parts, "alignment", AlignmentConfig)
        tables = training.table_learning_rate
        return dataclasses.replace(
            training,
            epochs=min(alignment.align_epochs, training.epochs),
            learning_rate=alignment.align_rate * training.learning_rate,
            table_learning_rate=None if tables is None else alignment.align_rate * tables,
        )

    def begin(self, context: StageContext) -> tuple[AlignmentTask, PathRanker]:
        """See :meth:`TrainingStage.begin`; the model has the weights of the earlier stage."""
        model = self._copy_model(context)
        arguments = self._task_arguments(context.data, context.settings, context.split)
        return AlignmentTask(*arguments, reference=model), model

    def _copy_model(self, context: StageContext) -> PathRanker:
        model = context.earlier[self._earlier]
        assert isinstance(model, PathRanker)
        return copy.deepcopy(model)
