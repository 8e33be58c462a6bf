"""The training of ``age``: base and gate at once, neither moved by the other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from recops_models.click.age import Age
from recops_models.click.model import ClickModel
from recops_models.recipes.click_stage import ClickStage
from recops_models.training.click_problem import ClickProblem
from recops_models.training.click_task import ClickTask


class AgeTask(ClickTask):
    """As of one click model, each net's gradient cut by its own norm."""

    def clipped(self, model: ClickModel) -> Sequence[nn.Module]:
        assert isinstance(model, Age)
        return (model.base, model.gate)


class AgeStage(ClickStage):
    """Trains a click model and its gate by the sum of their losses."""

    def task(self, problem: ClickProblem, model: ClickModel, batch: int) -> AgeTask:
        """See :meth:`TrainingStage.task`."""
        return AgeTask(problem.data.train, problem.data.validation, batch)
