"""Stage that fits the click baselines."""

from __future__ import annotations

from torch import nn

from recops_models import workers
from recops_models.click.model import ClickScorer
from recops_models.click.rates import RatesConfig
from recops_models.data.splits import SplitName
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.rates_fit import fit_rates
from recops_models.recipes.stage import Data, Stage, StageContext, TrainResult
from recops_models.recipes.summary import training_summary
from recops_models.training.click_task import ClickTask
from recops_models.training.example_config import ExampleConfig


class RatesStage(Stage[ClickTask]):
    """Stage that counts training examples and fits a head to their rates, without epochs."""

    name = "rates"

    def check(self, context: StageContext) -> None:
        """See :meth:`Stage.check`."""
        select = part(context.settings, "sizes", RatesConfig).select
        if select not in CLICK_METRICS:
            raise ValueError(
                f"rates: select must be among {', '.join(CLICK_METRICS)}, got {select!r}"
            )
        loss = part(context.settings, "examples", ExampleConfig).loss
        if loss != "cross-entropy":
            raise ValueError(f"rates: loss must be cross-entropy, as rates are counts, got {loss}")

    def task(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> ClickTask:
        """See :meth:`Stage.task`."""
        fitted = model.schema if isinstance(model, ClickScorer) else None
        return ClickTask(data, part(parts, "examples", ExampleConfig), split, fitted)

    def run(self, context: StageContext) -> TrainResult:
        """See :meth:`Stage.run`."""
        task = self.task(context.data, context.settings, context.split)
        context.start_output()
        context.callbacks.start(self.name)
        config = part(context.settings, "sizes", RatesConfig)
        fitted = workers.on_first(lambda: fit_rates(task.data, config, seed=context.seed))
        model = fitted.to(context.device)
        context.callbacks.log_message(training_summary(self.name, task, model))
        return TrainResult(model.eval(), task)
