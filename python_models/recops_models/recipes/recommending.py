"""Trained model for recommendations, optionally with new items, a scene or exploration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from torch import nn

from recops_models.data.attributes import item_titles
from recops_models.data.columns import parse_integer_ids
from recops_models.data.dataset import Dataset
from recops_models.data.histories import Int64Array
from recops_models.examples.click_schema import entity_keys
from recops_models.generative.ranker import concatenate
from recops_models.recipes.job import Job
from recops_models.recipes.many_users import ranking_table, rankings
from recops_models.recipes.run import task_of
from recops_models.training.click_task import ExampleTask
from recops_models.training.path_task import PathTask
from recops_models.training.task import AnyTask

if TYPE_CHECKING:
    from recops_models.recipes.exploring import ExploringList

_EXPLORING = "age"
"""Name of the model whose lists explore; other models need no import of its class."""


@dataclass(frozen=True, eq=False)
class ReadyModel:
    """Model with the data for its recommendations.

    Attributes:
        dataset: users and items.
        model: the model, over all items.
        task: measures the model and recommends with it.
        item_ids: ids of the source, by index; new items come last.
        titles: titles of the items, by index.
        seed: seed of exploring lists; None: lists do not explore.
    """

    dataset: Dataset
    model: nn.Module
    task: AnyTask
    item_ids: pa.ChunkedArray
    titles: list[str]
    seed: int | None = None

    def exploring_list(self, user: int, k: int) -> ExploringList:
        """Return the ``k`` items of an AGE model with a ``seed`` for one user."""
        from recops_models.click.age import Age
        from recops_models.recipes.exploring import exploring_list

        assert isinstance(self.model, Age)
        assert isinstance(self.task, ExampleTask)
        assert self.seed is not None
        return exploring_list(self.task, self.model, user, k, seed=self.seed)

    def many(self, users: Int64Array, k: int, answered: Callable[[int], None]) -> pa.Table:
        """Return a table of the ``k`` best items of each user.

        See :func:`~.many_users.ranking_table`. With a ``seed`` the columns are those of
        :func:`~.exploring.exploring_table`.

        Args:
            users: ``[U]``, indices of users with events.
            k: number of items.
            answered: receives the number of users of each finished batch.
        """
        user_ids = entity_keys(self.dataset, "user")
        if self.seed is not None:
            from recops_models.recipes.exploring import exploring_table

            lists = []
            for user in users.tolist():
                lists.append(self.exploring_list(user, k))
                answered(1)
            return exploring_table(lists, users, user_ids, self.item_ids)
        results = []
        for ranking in rankings(self.task, self.model, users, k):
            results.append(ranking)
            answered(len(ranking.items))
        return ranking_table(concatenate(results, k), users, user_ids, self.item_ids)


def ready_model(
    folder: Path,
    job: Job,
    model: nn.Module,
    dataset: Dataset,
    *,
    new_items: Path | None = None,
    scene: str | None = None,
    seed: int | None = None,
) -> ReadyModel:
    """Prepare a model of :func:`~recops_models.recipes.run.load_trained` for recommendations.

    Args:
        folder: folder of the training.
        job: the job that was trained.
        model: the trained model.
        dataset: the current data set.
        new_items: a file of new items; see
            :func:`~recops_models.recipes.new_items.insert_new_items`.
        scene: current scene of all users; None: the scene of each user's last event.
        seed: seed of exploration; None, or a model other than AGE: lists do not explore.

    Raises:
        DataError: the file of new items is unfit.
        ValueError: new items or a scene for a model that takes none; unknown scene.
    """
    new = None
    if new_items is not None or scene is not None:
        from recops_models.generative.unirec import UniRec
        from recops_models.recipes.new_items import insert_new_items

        if not isinstance(model, UniRec):
            raise ValueError(f"only unirec supports --new-items and --task, not {job.model}")
        if new_items is not None:
            new = insert_new_items(job, dataset, model, folder, new_items)
            model = new.live.model
    task = task_of(job, dataset, model)
    dataset = task.dataset or dataset  # KEEP's model numbers the items of its domain.
    item_ids, titles = entity_keys(dataset, "item"), item_titles(dataset)
    if new is not None:
        item_ids, titles = _with_new(item_ids, new.keys), titles + new.titles
    if scene is not None:
        assert isinstance(task, PathTask)
        task = task.in_scene(scene)
    return ReadyModel(
        dataset, model, task, item_ids, titles, seed if job.model == _EXPLORING else None
    )


def _with_new(known: pa.ChunkedArray, keys: list[str]) -> pa.ChunkedArray:
    """Append new ids; the result is text if old ids are, or if a new one is no integer."""
    new = pa.chunked_array([keys], pa.string())
    if pa.types.is_int64(known.type):
        numbers, faults = parse_integer_ids(new, "item_id")
        if not any(bad.any() for _, bad in faults):
            return pa.chunked_array([*known.chunks, pa.array(numbers)])
    return pa.chunked_array([*known.cast(pa.string()).chunks, *new.chunks])
