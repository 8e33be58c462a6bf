"""The recipe of ``rocket``: two click models trained as one, of which the light one is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from recops_models.click.model import ClickConfig, ClickModel
from recops_models.click.rocket import Rocket, RocketConfig
from recops_models.data.splits import SplitName
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.recipes.click import ClickRecipe, example_parts
from recops_models.recipes.click_nets import click_net
from recops_models.recipes.files import load_model
from recops_models.recipes.parts import Parts, PartSettings, part
from recops_models.recipes.recipe import Recipe
from recops_models.recipes.stage import AnyStage, Data, Order, TrainingStage
from recops_models.setting_checks import check_file
from recops_models.training.click_problem import ClickProblem, ExampleConfig
from recops_models.training.click_task import ExampleTask
from recops_models.training.problem import Measured

_Net: TypeAlias = ClickRecipe[ClickConfig]

_LIGHT_HIDDEN = (16, 8)
_BOOSTER = "booster_auc"


class RocketTask(ExampleTask[Rocket]):
    """As of one click model, by the joint loss; validation tells the booster's AUC too."""

    @property
    def metrics(self) -> tuple[str, ...]:
        return (*CLICK_METRICS, _BOOSTER)

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


class RocketStage(TrainingStage[RocketProblem, Rocket]):
    """Trains both nets at once."""

    name = "rocket"

    def problem(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> RocketProblem:
        """See :meth:`Stage.problem`."""
        fitted = model.schema if isinstance(model, ClickModel) else None
        return RocketProblem(data, part(parts, "examples", ExampleConfig), split, fitted)

    def build(self, problem: RocketProblem, order: Order) -> Rocket:
        """The light net first: it begins as it would alone."""
        schema, sizes = problem.data.fitted, part(order.parts, "sizes", RocketConfig)
        light, booster = _nets(vars(sizes))
        teacher = None if sizes.teacher is None else _teacher(Path(sizes.teacher), schema)
        return Rocket(
            light.net(schema, order.parts["light"]),
            None if booster is None else booster.net(schema, order.parts["booster"]),
            sizes,
            teacher=teacher,
        )

    def task(self, problem: RocketProblem, model: Rocket, batch: int) -> RocketTask:
        """See :meth:`TrainingStage.task`."""
        return RocketTask(problem.data.train, problem.data.validation, batch)


class RocketRecipe(Recipe):
    """Settings of its nets are dotted: ``light.hidden``, ``booster.width``."""

    name = "rocket"
    sizes = RocketConfig()

    def defaults(self) -> dict[str, PartSettings]:
        """Sizes, training and examples."""
        return {"sizes": self.sizes, **example_parts()}

    def nets(self, chosen: Mapping[str, object]) -> dict[str, PartSettings]:
        """``light``, and ``booster`` unless there is none."""
        light, booster = _nets({**vars(self.sizes), **chosen})
        nets: dict[str, PartSettings] = {} if booster is None else {"booster": booster.sizes}
        return {**nets, "light": dataclasses.replace(light.sizes, hidden=_LIGHT_HIDDEN)}

    def stages(self) -> Sequence[AnyStage]:
        """One training of both nets."""
        return (RocketStage(),)

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> nn.Module:
        """Never: a file holds the light net, under its own name."""
        raise ValueError("rocket: a file holds the light net, under its own name")

    def kept(self, model: nn.Module, parts: Parts) -> tuple[str, nn.Module]:
        """The light net, under its own name."""
        assert isinstance(model, Rocket)
        light, _ = _nets(vars(part(parts, "sizes", RocketConfig)))
        return light.name, model.export()


def _nets(chosen: Mapping[str, object]) -> tuple[_Net, _Net | None]:
    """The recipes of the light net and of the booster.

    Raises:
        ValueError: no such net, or no light net.
    """
    light, booster = (
        None if chosen[net] in (None, "none") else str(chosen[net]) for net in ("light", "booster")
    )
    of_light = click_net("rocket", light or booster)
    return of_light, None if booster is None else click_net("rocket", booster)


def _teacher(path: Path, schema: FittedSchema) -> ClickModel:
    check_file("rocket", "teacher", path)
    teacher = load_model(path)
    if not isinstance(teacher, ClickModel):
        raise ValueError(f"rocket: {path} must hold a click model, got {type(teacher).__name__}")
    ours, theirs = schema.state()[0], teacher.schema.state()[0]
    if ours.keys() != theirs.keys() or any(not torch.equal(ours[k], theirs[k]) for k in ours):
        raise ValueError(f"rocket: {path} was trained with other vocabularies than this data's")
    return teacher


recipe = RocketRecipe()
