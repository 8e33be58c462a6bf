"""Stages that train click models on examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import nn

from recops_models.click.model import ClickModel
from recops_models.data.splits import SplitName
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.examples.click import ClickData
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import Data, StageContext, TrainingStage
from recops_models.training.click_task import ClickTask, ExampleTask
from recops_models.training.example_config import ExampleConfig
from recops_models.training.task import ModelT
from recops_models.training.trainer import check_select


class ExampleStage(TrainingStage[ExampleTask[ModelT], ModelT]):
    """Training on click examples.

    Attributes:
        task_type: class of the task.
    """

    task_type: ClassVar[type[ExampleTask[Any]]]

    def check(self, context: StageContext) -> None:
        """See :meth:`Stage.check`."""
        check_select(self.metrics(context.settings), self.config(context.settings))

    def metrics(self, parts: Parts) -> Sequence[str]:
        """Return the names of the validation metrics."""
        return CLICK_METRICS

    def task(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> ExampleTask[ModelT]:
        """See :meth:`Stage.task`."""
        fitted = model.schema if isinstance(model, ClickModel) else None
        return self.task_type(data, part(parts, "examples", ExampleConfig), split, fitted)


class ClickStage(ExampleStage[ClickModel]):
    """Training of one click model by cross-entropy, plus the model's auxiliary loss.

    Args:
        name: name of the model.
        make: builds the model from examples and a context.
    """

    task_type = ClickTask

    def __init__(self, name: str, make: Callable[[ClickData, StageContext], ClickModel]) -> None:
        self.name, self.make = name, make

    def build(self, task: ExampleTask[ClickModel], context: StageContext) -> ClickModel:
        """See :meth:`TrainingStage.build`."""
        return self.make(task.data, context)
