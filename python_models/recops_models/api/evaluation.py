"""Evaluation of a trained model of the Python interface."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from recops_models.data.dataset import Dataset
from recops_models.evaluation.floors import floors
from recops_models.evaluation.ranking_floors import ranking_floors
from recops_models.recipes.catalogue import checked_data
from recops_models.recipes.evaluating import evaluate_parts
from recops_models.recipes.job import load_job
from recops_models.recipes.trained import open_data, task_of
from recops_models.settings import JsonObject
from recops_models.training.click_task import ExampleTask
from recops_models.training.curve import finite
from recops_models.training.ranking_task import RankingTask

_NAMES = {"last item": "co-occurrence"}
"""Names of baselines that differ from those of the floors."""


def evaluate(folder: Path, module: nn.Module, data: Dataset | None) -> dict[str, JsonObject]:
    """Return the metrics of a model; see :meth:`recops_models.api.model.Model.evaluate`."""
    job = load_job(folder)
    opened = open_data(job, module, folder) if data is None else checked_data(folder, job, data)
    task = task_of(job, opened, module)
    results = evaluate_parts(task, module)
    baselines: dict[str, dict[str, float]] = {}
    if isinstance(task, RankingTask):
        baselines = ranking_floors(task.parts)
    elif isinstance(task, ExampleTask):
        baselines = floors(task.data)
    results["baselines"] = {
        _NAMES.get(name, name): finite(metrics) for name, metrics in baselines.items()
    }
    return results
