"""Evaluation of a trained model of the Python interface."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from recops_models.data.dataset import Dataset
from recops_models.evaluation.floors import floors
from recops_models.evaluation.ranking_floors import ranking_floors
from recops_models.recipes.catalogue import check_catalogue, with_recorded_categories
from recops_models.recipes.evaluating import evaluate_parts
from recops_models.recipes.job import Job, load_job
from recops_models.recipes.run import open_data, task_of
from recops_models.recipes.stage import Data
from recops_models.settings import JsonObject
from recops_models.training.click_task import ExampleTask
from recops_models.training.curve import finite
from recops_models.training.ranking_task import RankingTask

_NAMES = {"last item": "co-occurrence"}
"""Names of baselines that differ from those of the floors."""


def checked_data(folder: Path, job: Job, module: nn.Module, data: Dataset | None) -> Data:
    """Return the data of a model, after a check that it numbers items as the training did.

    Args:
        folder: folder of the training.
        job: the job that was trained.
        module: the trained model.
        data: the data; None: the data of the training.

    Raises:
        DataError: the data is missing, or does not fit the model.
    """
    if data is None:
        return open_data(job, module, folder)
    checked = with_recorded_categories(folder, data)
    check_catalogue(folder, job, checked)
    return checked


def evaluate(folder: Path, module: nn.Module, data: Dataset | None) -> dict[str, JsonObject]:
    """Return the metrics of a model; see :meth:`recops_models.api.model.Model.evaluate`."""
    job = load_job(folder)
    task = task_of(job, checked_data(folder, job, module, data), module)
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
