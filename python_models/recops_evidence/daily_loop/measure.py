"""Quality of a trained model on the next slice, as values per user."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recops_evidence.daily_loop.slices import only_known_items
from recops_models.click.model import ClickScorer
from recops_models.data.dataset import Dataset
from recops_models.data.histories import Int64Array
from recops_models.data.splits import Split
from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.evaluation.metrics import evaluate
from recops_models.examples.click import click_data
from recops_models.generative.ranker import Recommender
from recops_models.recipes.job import Job
from recops_models.recipes.matching import match_model
from recops_models.recipes.trained import load_trained, newer_data
from recops_models.training.click_task import predictions
from recops_models.training.device import array


@dataclass(frozen=True, eq=False)
class SliceResult:
    """Metrics of one model on one slice.

    Attributes:
        metrics: metrics by name over all users.
        values: the metric of each user that is a mean over users, by user id: NDCG@10 of rankers,
            AUC of click models.
        new_items: share of the slice's events whose item has no earlier event; they are left out.
        new_users: share of the slice's events whose user has no earlier event. Rankers leave these
            users out, since they read nothing else.
    """

    metrics: Mapping[str, float]
    values: Mapping[str, float]
    new_items: float
    new_users: float


def measure(folder: Path, dataset: Dataset, slices: Int64Array, day: int) -> SliceResult:
    """Measure the model in ``folder`` on slice ``day``.

    Rankers predict each user's first event of the slice. Click models score every event of the
    slice against one item, drawn by popularity among earlier events.

    Args:
        folder: folder of a training on earlier slices, or on some of them.
        dataset: events up to ``day``.
        slices: ``[E]``, their slices.
        day: the slice.
    """
    users = dataset.interactions["user_id"].to_numpy()
    is_new_user = ~np.isin(users[slices == day], users[slices < day])
    known, slices_of_known = only_known_items(dataset, slices, day)
    events_of_day = int((slices == day).sum())
    new_items = 1 - int((slices_of_known == day).sum()) / max(1, events_of_day)
    job, trained = load_trained(folder)
    data = newer_data(folder, job, trained, known)
    assert isinstance(data, Dataset)
    model = match_model(folder, job, trained, data).module
    part = np.where(slices_of_known == day, 2, 0)
    earlier = np.flatnonzero(part == 0)
    part[earlier[-max(1, len(earlier) // 10) :]] = 1  # Examples need a validation part.
    split = Split.of(data, part)
    metrics, values = (
        _ranked(model, data, split)
        if isinstance(model, Recommender)
        else _clicked(job, model, data, split)
    )
    return SliceResult(metrics, values, new_items, float(is_new_user.mean()))


def _ranked(
    model: Recommender, data: Dataset, split: Split
) -> tuple[dict[str, float], dict[str, float]]:
    examples = split.examples("test").next_events()
    result = evaluate(model, examples, data.items.num_rows, exclude_seen=data.repeats == "drop")
    ranks = array(result.ranks)
    gain = np.where(ranks < 10, 1 / np.log2(2.0 + ranks), 0.0)
    return result.metrics, _by_user(data, examples.users, gain)


def _clicked(
    job: Job, model: nn.Module, data: Dataset, split: Split
) -> tuple[dict[str, float], dict[str, float]]:
    assert isinstance(model, ClickScorer)
    settings = dataclasses.asdict(job.parts["examples"])
    source = click_data(data, split, fitted=model.schema, **settings).test
    metrics = ClickMetrics()
    users, logits, labels = [], [], []
    for logit, batch in predictions(model, source):
        metrics.update(logit, batch.label, batch.group)
        users.append(array(batch.group))
        logits.append(array(logit.float()))
        labels.append(array(batch.label))
    ids, values = _auc_of_users(*map(np.concatenate, (users, logits, labels)))
    return metrics.compute(), _by_user(data, data.user_vocabulary.index(ids), values)


def _auc_of_users(
    users: Int64Array, logits: NDArray[np.float32], labels: NDArray[np.float32]
) -> tuple[Int64Array, NDArray[np.float64]]:
    """Return the users with both labels, and the AUC of each; ties count one half."""
    chosen, values = [], []
    for user in np.unique(users):
        rows = users == user
        good, bad = logits[rows & (labels > 0)], logits[rows & (labels <= 0)]
        if len(good) and len(bad):
            above = (good[:, None] > bad).mean() + 0.5 * (good[:, None] == bad).mean()
            chosen.append(user)
            values.append(above)
    return np.array(chosen, dtype=np.int64), np.array(values)


def _by_user(data: Dataset, users: Int64Array, values: NDArray[np.floating]) -> dict[str, float]:
    keys = data.user_keys
    return {str(keys[u]): float(v) for u, v in zip(users.tolist(), values, strict=True)}
