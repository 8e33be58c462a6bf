"""The training of ``rocket``: two click models trained as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from recops_models.click.model import ClickModel
from recops_models.click.rocket import Rocket, RocketConfig
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.recipes.click_nets import light_and_booster
from recops_models.recipes.click_stage import ExampleStage
from recops_models.recipes.files import load_model
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import StageContext
from recops_models.setting_checks import check_file
from recops_models.training.click_problem import ClickProblem
from recops_models.training.click_task import ExampleTask
from recops_models.training.problem import Measured

_BOOSTER = "booster_auc"


@dataclass(frozen=True, eq=False)
class RocketTask(ExampleTask[Rocket]):
    """As of one click model, by the joint loss; validation tells the booster's AUC too.

    Attributes:
        boosted: whether there is a booster.
    """

    boosted: bool = True

    @property
    def metrics(self) -> tuple[str, ...]:
        return _metrics(self.boosted)

    def loss(self, model: Rocket, batch: Batch) -> tuple[Tensor, int]:
        return model.loss(batch), len(batch.label)

    def evaluate(self, model: Rocket) -> dict[str, float]:
        metrics = self.validated(model.light)
        if model.booster is None:
            return metrics
        return metrics | {_BOOSTER: self.validated(model.booster)["auc"]}

    def clipped(self, model: Rocket) -> Sequence[nn.Module]:
        return model.nets()


class RocketProblem(ClickProblem):
    """:class:`ClickProblem`, where a model may be a light net still beside its booster."""

    def measure(self, model: nn.Module, part: str) -> Measured:
        measured = super().measure(model, part)
        if isinstance(model, Rocket) and model.booster is not None:
            measured.metrics[_BOOSTER] = super().measure(model.booster, part).metrics["auc"]
        return measured


class RocketStage(ExampleStage[Rocket]):
    """Trains both nets at once."""

    name = "rocket"
    problem_type = RocketProblem

    def metrics(self, parts: Parts) -> Sequence[str]:
        """See :meth:`ExampleStage.metrics`."""
        _, booster = light_and_booster(vars(part(parts, "sizes", RocketConfig)))
        return _metrics(booster is not None)

    def build(self, problem: ClickProblem, context: StageContext) -> Rocket:
        """The light net first: it begins as it would alone."""
        schema, sizes = problem.data.fitted, part(context.settings, "sizes", RocketConfig)
        light, booster = light_and_booster(vars(sizes))
        teacher = None if sizes.teacher is None else _teacher(Path(sizes.teacher), schema)
        return Rocket(
            light.build(problem, context.with_sizes("light")),
            None if booster is None else booster.build(problem, context.with_sizes("booster")),
            sizes,
            teacher=teacher,
        )

    def task(self, problem: ClickProblem, model: Rocket, batch: int) -> RocketTask:
        """See :meth:`TrainingStage.task`."""
        data = problem.data
        return RocketTask(data.train, data.validation, batch, model.booster is not None)


def _metrics(boosted: bool) -> tuple[str, ...]:
    return (*CLICK_METRICS, _BOOSTER) if boosted else CLICK_METRICS


def _teacher(path: Path, schema: FittedSchema) -> ClickModel:
    check_file("rocket", "teacher", path)
    teacher = load_model(path)
    if not isinstance(teacher, ClickModel):
        raise ValueError(f"rocket: {path} must hold a click model, got {type(teacher).__name__}")
    ours, theirs = schema.state()[0], teacher.schema.state()[0]
    if ours.keys() != theirs.keys() or any(not torch.equal(ours[k], theirs[k]) for k in ours):
        raise ValueError(f"rocket: {path} was trained with other vocabularies than this data's")
    return teacher
