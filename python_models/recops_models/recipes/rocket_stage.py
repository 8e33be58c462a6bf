"""Training of ``rocket``: a light net and a booster together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recops_models.click.inheriting import inherit_weights
from recops_models.click.model import ClickModel, ClickScorer
from recops_models.click.rocket import Rocket, RocketConfig
from recops_models.data.splits import SplitName
from recops_models.dotted import below
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.recipes.click_nets import light_and_booster
from recops_models.recipes.click_stage import ExampleStage
from recops_models.recipes.files import load_model
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import Data, StageContext
from recops_models.setting_checks import check_file
from recops_models.training.checkpoint import best_weights
from recops_models.training.click_task import ExampleTask
from recops_models.training.example_config import ExampleConfig
from recops_models.training.trainer import CHECKPOINT

if TYPE_CHECKING:
    import pyarrow as pa

_BOOSTER = "booster_auc"


class RocketTask(ExampleTask[Rocket]):
    """Click prediction by the joint loss of both nets; validation includes the booster's AUC.

    :meth:`measure` and :meth:`recommend` also take the light net alone, which is what files hold.

    Args:
        data: see :class:`~recops_models.training.click_task.ExampleTask`.
        examples: see there.
        split: see there.
        fitted: see there.
        has_booster: whether models of this task have a booster.
    """

    def __init__(
        self,
        data: Data,
        examples: ExampleConfig,
        split: SplitName | None = None,
        fitted: FittedSchema | None = None,
        *,
        has_booster: bool = True,
    ) -> None:
        super().__init__(data, examples, split, fitted)
        self._has_booster = has_booster

    @property
    def metrics(self) -> tuple[str, ...]:
        return _metrics(self._has_booster)

    def loss(self, model: Rocket, batch: Batch) -> tuple[Tensor, int]:
        return model.loss(batch), len(batch.label)

    def evaluate(self, model: Rocket) -> dict[str, float]:
        metrics = self.validated(model.light)
        if model.booster is None:
            return metrics
        return metrics | {_BOOSTER: self.validated(model.booster)["auc"]}

    def clipped(self, model: Rocket) -> Sequence[nn.Module]:
        return model.nets()

    def measure(self, model: nn.Module, part: str) -> tuple[dict[str, float], pa.Table]:
        metrics, predictions = super().measure(model, part)
        if isinstance(model, Rocket) and model.booster is not None:
            metrics[_BOOSTER] = super().measure(model.booster, part)[0]["auc"]
        return metrics, predictions


class RocketStage(ExampleStage[Rocket]):
    """Training of both nets at once."""

    name = "rocket"

    def metrics(self, parts: Parts) -> Sequence[str]:
        """See :meth:`ExampleStage.metrics`."""
        return _metrics(_has_booster(parts))

    def fitted_task(
        self, data: Data, parts: Parts, split: SplitName | None, fitted: FittedSchema | None
    ) -> RocketTask:
        """See :meth:`ExampleStage.fitted_task`."""
        examples = part(parts, "examples", ExampleConfig)
        return RocketTask(data, examples, split, fitted, has_booster=_has_booster(parts))

    def build(self, task: ExampleTask[Rocket], context: StageContext) -> Rocket:
        """See :meth:`TrainingStage.build`; the light net starts with the weights it has alone."""
        sizes = part(context.settings, "sizes", RocketConfig)
        light, booster = light_and_booster(vars(sizes))
        schema = task.data.fitted
        teacher = None if sizes.teacher is None else _teacher(Path(sizes.teacher), schema)
        return Rocket(
            light.build(task.data, context.with_sizes("light")),
            None if booster is None else booster.build(task.data, context.with_sizes("booster")),
            sizes,
            teacher=teacher,
        )

    def inherit(
        self, model: Rocket, schema: FittedSchema, earlier: ClickScorer, context: StageContext
    ) -> None:
        """See :meth:`ExampleStage.inherit`.

        A file holds only the light net. The booster starts from the earlier training's checkpoint,
        or from new weights without one, as in a folder of ``save_pretrained``.
        """
        inherit_weights(model.light, schema, earlier)
        start = context.start
        assert start is not None
        weights = below("booster.", best_weights(start.folder / CHECKPOINT))
        _, recipe = light_and_booster(vars(part(context.settings, "sizes", RocketConfig)))
        if model.booster is None or recipe is None or not weights:
            return
        booster = recipe.restore(weights, context.settings["booster"], earlier.schema)
        booster.load_state_dict(weights, strict=False)  # It may share modules of the light net.
        inherit_weights(model.booster, schema, booster)


def _has_booster(parts: Parts) -> bool:
    return light_and_booster(vars(part(parts, "sizes", RocketConfig)))[1] is not None


def _metrics(has_booster: bool) -> tuple[str, ...]:
    return (*CLICK_METRICS, _BOOSTER) if has_booster else CLICK_METRICS


def _teacher(path: Path, schema: FittedSchema) -> ClickModel:
    check_file("rocket", "teacher", path)
    teacher = load_model(path)
    if not isinstance(teacher, ClickModel):
        raise ValueError(f"rocket: {path} must hold a click model, got {type(teacher).__name__}")
    own, other = schema.state()[0], teacher.schema.state()[0]
    if own.keys() != other.keys() or any(not torch.equal(own[k], other[k]) for k in own):
        raise ValueError(f"rocket: {path} was trained with vocabularies that differ from the data")
    return teacher
