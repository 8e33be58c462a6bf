"""Training of ``age``: base and gate together, without gradients between them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from recops_models.click.age import Age
from recops_models.click.model import ClickModel
from recops_models.recipes.click_stage import ClickStage
from recops_models.training.click_task import ClickTask


class AgeTask(ClickTask):
    """Click prediction in which base and gate have their gradients clipped separately."""

    def clipped(self, model: ClickModel) -> Sequence[nn.Module]:
        assert isinstance(model, Age)
        return (model.base, model.gate)


class AgeStage(ClickStage):
    """Training of a click model and its gate by the sum of their losses."""

    task_type = AgeTask
