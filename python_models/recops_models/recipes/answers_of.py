"""Answers of a trained model by its kind."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from recops_models.data.dataset import Dataset
from recops_models.recipes.answers import Answers
from recops_models.recipes.job import Job


def answers_of(
    job: Job,
    model: nn.Module,
    dataset: Dataset,
    *,
    scene: str | None = None,
    label: Mapping[str, float] | None = None,
) -> Answers:
    """Return the answers of a trained model; this imports the model's kind only.

    Args:
        job: the job that was trained.
        model: the trained model.
        dataset: the catalogue, with the events that define the scenes.
        scene: scene of all requests, for a model with scenes; None: the scene of each user's last
            event.
        label: label → weight of the score of a click model; None: the click probability.

    Raises:
        ValueError: the model answers no requests, or has no such scene or label.
    """
    if label is not None:
        from recops_models.click.label_scores import check_label_weights

        check_label_weights(model, job.model, label)
    if job.data_kind == "click":
        from recops_models.recipes.click_answers import click_answers

        return click_answers(job, model, label)
    from recops_models.recipes.ranking_answers import ranking_answers

    return ranking_answers(job, model, dataset, scene)
