"""Stages that train click models on examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import nn

from recops_models.click.inheriting import inherit_weights
from recops_models.click.model import ClickConfig, ClickModel, ClickScorer
from recops_models.data.dataset import Dataset
from recops_models.data.splits import SplitName
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.examples.click import ClickData
from recops_models.examples.click_stream import open_click_folder
from recops_models.examples.extend_schema import extended_schema
from recops_models.examples.features import FittedSchema
from recops_models.recipes.earlier import EarlierTraining
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import Data, StageContext, TrainingStage
from recops_models.training.click_task import ClickTask, ExampleTask
from recops_models.training.device import fork_generators
from recops_models.training.example_config import ExampleConfig
from recops_models.training.label_task import LabelTask
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
        loss = part(context.settings, "examples", ExampleConfig).loss
        if loss != "cross-entropy" and not isinstance(context.data, Dataset):
            raise ValueError(
                f"{self.name}: loss={loss} requires a data set of impressions, but "
                f"{context.data.name} has examples"
            )

    def metrics(self, parts: Parts) -> Sequence[str]:
        """Return the names of the validation metrics."""
        return CLICK_METRICS

    def task(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> ExampleTask[ModelT]:
        """See :meth:`Stage.task`."""
        return self.fitted_task(
            data, parts, split, model.schema if isinstance(model, ClickModel) else None
        )

    def fitted_task(
        self, data: Data, parts: Parts, split: SplitName | None, fitted: FittedSchema | None
    ) -> ExampleTask[ModelT]:
        """Return the task with given vocabularies; None: with those of the training part."""
        return self.task_type(data, part(parts, "examples", ExampleConfig), split, fitted)

    def begin(self, context: StageContext) -> tuple[ExampleTask[ModelT], ModelT]:
        """See :meth:`TrainingStage.begin`.

        A continued training extends the vocabularies of the earlier model, and starts from its
        weights.
        """
        if context.start is None:
            return super().begin(context)
        earlier = earlier_click_model(context.start)
        data, parts, split = context.data, context.settings, context.split
        task = self.fitted_task(data, parts, split, None)
        fitted = extended_schema(earlier.schema, task.data.fitted)
        task = self.fitted_task(with_schema(data, fitted), parts, split, fitted)
        with fork_generators(context.device, context.seed):
            model = self.build(task, context)
        self.inherit(model, task.data.fitted, earlier, context)
        return task, model

    def inherit(
        self, model: ModelT, schema: FittedSchema, earlier: ClickScorer, context: StageContext
    ) -> None:
        """Copy the weights of the earlier training to a new model."""
        inherit_weights(model, schema, earlier)


def earlier_click_model(start: EarlierTraining) -> ClickScorer:
    """Return the model of an earlier training of a click model."""
    assert isinstance(start.model, ClickScorer)  # The jobs have the same recipe.
    return start.model


def with_schema(data: Data, fitted: FittedSchema) -> Data:
    """Return streamed examples with other vocabularies; a data set is returned as it is."""
    if isinstance(data, Dataset) or not data.files:
        return data
    return open_click_folder(data.files[0].parent, fitted=fitted)


class ClickStage(ExampleStage[ClickModel]):
    """Training of one click model by cross-entropy, plus the model's auxiliary loss.

    Args:
        name: name of the model.
        make: builds the model from examples and a context.
    """

    task_type = ClickTask

    def __init__(self, name: str, make: Callable[[ClickData, StageContext], ClickModel]) -> None:
        self.name, self.make = name, make

    def check(self, context: StageContext) -> None:
        """See :meth:`Stage.check`; metrics of several labels are known with the data only."""
        if not _has_heads(context.settings):
            super().check(context)

    def fitted_task(
        self, data: Data, parts: Parts, split: SplitName | None, fitted: FittedSchema | None
    ) -> ExampleTask[ClickModel]:
        """See :meth:`ExampleStage.fitted_task`."""
        if not _has_heads(parts):
            return super().fitted_task(data, parts, split, fitted)
        return LabelTask(data, part(parts, "examples", ExampleConfig), split, fitted)

    def build(self, task: ExampleTask[ClickModel], context: StageContext) -> ClickModel:
        """See :meth:`TrainingStage.build`."""
        return self.make(task.data, context)


def _has_heads(parts: Parts) -> bool:
    """Return whether the model predicts several labels."""
    sizes = parts.get("sizes")  # Those of a wrapper, such as age, are no sizes of a net.
    return isinstance(sizes, ClickConfig) and sizes.heads != "one"
