"""Evaluation of a trained model on its held-out parts, for the command line and Python."""

from __future__ import annotations

from typing import Any

from torch import nn

from recops_models.evaluation.beyond_accuracy import (
    BeyondAccuracy,
    accuracy_by_group,
    beyond_accuracy,
)
from recops_models.evaluation.click_groups import candidate_clicks, click_accuracy_by_group
from recops_models.generative.popularity import item_counts
from recops_models.settings import JsonObject
from recops_models.training.click_task import ExampleTask
from recops_models.training.curve import finite
from recops_models.training.device import array
from recops_models.training.ranking_task import RankingTask
from recops_models.training.streamed_ranking_task import StreamedRankingTask
from recops_models.training.task import AnyTask

PARTS = ("validation", "test")
"""Held-out parts."""


def evaluate_parts(task: AnyTask, model: nn.Module) -> dict[str, JsonObject]:
    """Return the metrics of a model on validation and test.

    Args:
        task: the task of the model; see :func:`~recops_models.recipes.trained.task_of`.
        model: the trained model.

    Returns:
        ``"validation"`` and ``"test"``: metrics by name, None if undefined, equal to those of
        ``metrics.json``. ``"groups"``: part → result of
        :func:`~recops_models.evaluation.beyond_accuracy.accuracy_by_group` or
        :func:`~recops_models.evaluation.click_groups.click_accuracy_by_group`. For rankers also
        ``"beyond_accuracy"``: part → result of
        :func:`~recops_models.evaluation.beyond_accuracy.beyond_accuracy`.
    """
    if isinstance(task, RankingTask):
        return _evaluate_ranker(task, model)
    if isinstance(task, StreamedRankingTask):
        return _evaluate_streamed(task, model)
    if isinstance(task, ExampleTask):
        return _evaluate_click_model(task, model)
    return {part: finite(task.measure(model, part)[0]) for part in PARTS}


def _evaluate_ranker(task: RankingTask[Any, Any], model: nn.Module) -> dict[str, JsonObject]:
    counts = array(item_counts(task.train, task.num_items))
    metrics: dict[str, JsonObject] = {}
    beyond: dict[str, JsonObject] = {}
    groups: dict[str, JsonObject] = {}
    for part in PARTS:
        evaluation, examples = task.evaluation(model, part), getattr(task, part)
        metrics[part] = finite(task.summary(evaluation, part)[0])
        beyond[part] = finite(beyond_accuracy(evaluation.items, examples.histories, counts))
        groups[part] = accuracy_by_group(evaluation, examples, counts)
    return {**metrics, "beyond_accuracy": beyond, "groups": groups}


def _evaluate_streamed(
    task: StreamedRankingTask[Any, Any], model: nn.Module
) -> dict[str, JsonObject]:
    counts = array(task.item_counts)
    metrics: dict[str, JsonObject] = {}
    beyond: dict[str, JsonObject] = {}
    groups: dict[str, JsonObject] = {}
    for part in PARTS:
        lists = BeyondAccuracy(counts)
        evaluation = task.evaluation(model, part, lists)
        metrics[part], beyond[part] = finite(evaluation.metrics), finite(lists.metrics())
        groups[part] = evaluation.by_group(counts)
    return {**metrics, "beyond_accuracy": beyond, "groups": groups}


def _evaluate_click_model(task: ExampleTask[Any], model: nn.Module) -> dict[str, JsonObject]:
    clicks = candidate_clicks(task.data.fitted, task.data.train)
    metrics: dict[str, JsonObject] = {}
    groups: dict[str, JsonObject] = {}
    for part in PARTS:
        evaluation = task.evaluation(model, part)
        metrics[part] = finite(task.summary(evaluation, part)[0])
        groups[part] = click_accuracy_by_group(evaluation, clicks)
    return {**metrics, "groups": groups}
