"""Click or not, of two nets trained as one: the light net is chosen and kept, the booster told."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recops_models.click.rocket import Rocket
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.examples.batch import Batch
from recops_models.training.click_problem import ClickProblem
from recops_models.training.click_task import ClickTask
from recops_models.training.problem import Measured

_BOOSTER = "booster_auc"


class RocketTask(ClickTask):
    """As of one click model, by the joint loss; validation tells the booster's AUC too."""

    @property
    def metrics(self) -> tuple[str, ...]:
        return (*CLICK_METRICS, _BOOSTER)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, int]:
        return model.loss(batch), len(batch.label)

    def evaluate(self, model: Any) -> dict[str, float]:
        metrics = super().evaluate(model)
        if model.booster is None:
            return metrics
        return metrics | {_BOOSTER: super().evaluate(model.booster)["auc"]}


class RocketProblem(ClickProblem):
    """:class:`ClickProblem`, where a model may be a light net still beside its booster."""

    def task(self, batch: int, model: Any) -> RocketTask:
        return RocketTask(self.data.train, self.data.validation, batch)

    def measure(self, model: Any, part: str) -> Measured:
        measured = super().measure(model, part)
        if isinstance(model, Rocket) and model.booster is not None:
            measured.metrics[_BOOSTER] = super().measure(model.booster, part).metrics["auc"]
        return measured
