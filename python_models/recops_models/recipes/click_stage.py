"""Trainings on click examples: what they share, and the one of most click models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import nn

from recops_models.click.model import ClickModel
from recops_models.data.splits import SplitName
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import Data, ModelT, StageContext, TrainingStage
from recops_models.training.click_problem import ClickProblem, ExampleConfig
from recops_models.training.click_task import ClickTask
from recops_models.training.trainer import check_select


class ExampleStage(TrainingStage[ClickProblem, ModelT]):
    """Trains on click examples.

    Attributes:
        problem_type: the class of its problem.
    """

    problem_type: ClassVar[type[ClickProblem]] = ClickProblem

    def check(self, context: StageContext) -> None:
        """See :meth:`Stage.check`."""
        check_select(self.metrics(context.settings), self.config(context.settings))

    def metrics(self, parts: Parts) -> Sequence[str]:
        """The names of what :meth:`task` measures on validation."""
        return CLICK_METRICS

    def problem(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> ClickProblem:
        """See :meth:`Stage.problem`."""
        fitted = model.schema if isinstance(model, ClickModel) else None
        return self.problem_type(data, part(parts, "examples", ExampleConfig), split, fitted)


class ClickStage(ExampleStage[ClickModel]):
    """Trains a click model by the cross-entropy of clicks, and its own loss.

    Args:
        name: of the model.
        make: from a problem and a context.
    """

    def __init__(self, name: str, make: Callable[[ClickProblem, StageContext], ClickModel]) -> None:
        self.name, self.make = name, make

    def build(self, problem: ClickProblem, context: StageContext) -> ClickModel:
        """See :meth:`TrainingStage.build`."""
        return self.make(problem, context)

    def task(self, problem: ClickProblem, model: ClickModel, batch: int) -> ClickTask:
        """See :meth:`TrainingStage.task`."""
        return ClickTask(problem.data.train, problem.data.validation, batch)
