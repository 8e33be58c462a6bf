"""The two trainings of a path ranker: next tokens, then rewards and preferences."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

from torch import nn

from recops_models.data.attributes import item_attributes, user_fields
from recops_models.data.splits import SplitName
from recops_models.examples.engagement import EngagementConfig
from recops_models.examples.scenes import SceneConfig
from recops_models.generative.path_ranker import PathRanker
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.parts import Parts, PartSettings, part
from recops_models.recipes.ranking import whole_dataset
from recops_models.recipes.stage import Data, StageContext, TrainingStage
from recops_models.training.alignment_task import AlignmentConfig, AlignmentTask
from recops_models.training.config import ChoiceConfig, TrainingConfig
from recops_models.training.path_problem import PathProblem
from recops_models.training.path_task import PathTask
from recops_models.training.trainer import CHECKPOINT, check_select


def path_parts() -> dict[str, PartSettings]:
    """The settings that both trainings read, at their defaults."""
    return {
        "training": TrainingConfig(),
        "choice": ChoiceConfig(),
        "engagement": EngagementConfig(),
        "scenes": SceneConfig(),
        "alignment": AlignmentConfig(),
    }


class NextTokenStage(TrainingStage[PathProblem, PathRanker]):
    """Trains a model to spell the next item, weighted by engagement.

    Args:
        name: of the model.
        make: from a problem and a context.
        files: names of the files that ``make`` writes.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[PathProblem, StageContext], PathRanker],
        *,
        files: tuple[str, ...] = (),
    ) -> None:
        self.name, self.make = name, make
        self.files = (CHECKPOINT, *files)

    def check(self, context: StageContext) -> None:
        """See :meth:`Stage.check`; what :class:`AlignmentStage` reads is the same."""
        problem = self.problem(context.data, context.settings, context.split)
        inputs = part(context.settings, "inputs", InputConfig)
        item_attributes(problem.dataset, inputs.attributes)
        user_fields(problem.dataset, inputs.user_fields)
        _ = problem.events  # Refuses unfit columns.
        asked = problem.told(problem.asked_each_epoch, "validation")
        check_select(asked.metrics, self.config(context.settings))

    def problem(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> PathProblem:
        """See :meth:`Stage.problem`."""
        return PathProblem(
            whole_dataset(self.name, data),
            part(parts, "engagement", EngagementConfig),
            part(parts, "scenes", SceneConfig),
            part(parts, "alignment", AlignmentConfig),
            split,
            part(parts, "choice", ChoiceConfig).validation_users,
        )

    def build(self, problem: PathProblem, context: StageContext) -> PathRanker:
        """See :meth:`TrainingStage.build`."""
        return self.make(problem, context)

    def task(self, problem: PathProblem, model: PathRanker, batch: int) -> PathTask:
        """See :meth:`TrainingStage.task`."""
        return PathTask(
            problem.train,
            problem.events,
            problem.told(problem.asked_each_epoch, "validation"),
            problem.num_items,
            model.window,
            batch,
        )


class AlignmentStage(NextTokenStage):
    """Goes on from what :class:`NextTokenStage` of the same name left, by rewards and preferences.

    The reference is that model, frozen; the learning rate is a share of that training's.

    Args:
        of: the name of the stage before.
    """

    def __init__(self, of: str) -> None:
        super().__init__("alignment", lambda _, context: _trained(context, of))

    def check(self, context: StageContext) -> None:
        """The stage before has looked."""

    def is_enabled(self, parts: Parts) -> bool:
        """See :meth:`Stage.is_enabled`: not with ``align=none``."""
        return part(parts, "alignment", AlignmentConfig).align != "none"

    def config(self, parts: Parts) -> TrainingConfig:
        """See :meth:`TrainingStage.config`."""
        training, how = super().config(parts), part(parts, "alignment", AlignmentConfig)
        tables = training.table_learning_rate
        return dataclasses.replace(
            training,
            epochs=min(how.align_epochs, training.epochs),
            learning_rate=how.align_rate * training.learning_rate,
            table_learning_rate=None if tables is None else how.align_rate * tables,
        )

    def task(self, problem: PathProblem, model: PathRanker, batch: int) -> AlignmentTask:
        """See :meth:`TrainingStage.task`; ``model`` as it is now becomes the reference."""
        plain = super().task(problem, model, batch)
        reference = copy.deepcopy(model).eval().requires_grad_(False)
        return AlignmentTask(
            plain.train,
            plain.events,
            plain.validation,
            plain.num_items,
            plain.window,
            batch,
            problem.alignment,
            reference,
        )


def _trained(context: StageContext, of: str) -> PathRanker:
    model = context.earlier[of]
    assert isinstance(model, PathRanker)
    return copy.deepcopy(model)
