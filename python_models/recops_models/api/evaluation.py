"""Evaluation of a trained model of the Python interface."""

from __future__ import annotations

from torch import nn

from recops_models.evaluation.floors import floors
from recops_models.evaluation.ranking_floors import floor_models, ranking_floors
from recops_models.recipes.evaluating import evaluate_parts
from recops_models.recipes.job import Job
from recops_models.recipes.stage import Data
from recops_models.recipes.trained import task_of
from recops_models.settings import JsonObject
from recops_models.training.click_task import ExampleTask
from recops_models.training.curve import finite
from recops_models.training.ranking_task import RankingTask
from recops_models.training.streamed_ranking_task import StreamedRankingTask

_NAMES = {"last item": "co-occurrence"}
"""Names of baselines that differ from those of the floors."""


def evaluate(job: Job, module: nn.Module, data: Data) -> dict[str, JsonObject]:
    """Return the metrics of a model on data that it is matched with.

    See :meth:`recops_models.api.model.Model.evaluate`.
    """
    task = task_of(job, data, module)
    results = evaluate_parts(task, module)
    baselines: dict[str, dict[str, float]] = {}
    if isinstance(task, RankingTask):
        baselines = ranking_floors(task.parts)
    elif isinstance(task, StreamedRankingTask):
        models = floor_models(task.histories(), task.item_counts, repeats=task.dataset.repeats)
        baselines = {name: task.evaluation(floor, "test").metrics for name, floor in models.items()}
    elif isinstance(task, ExampleTask):
        baselines = floors(task.data)
    results["baselines"] = {
        _NAMES.get(name, name): finite(metrics) for name, metrics in baselines.items()
    }
    return results
