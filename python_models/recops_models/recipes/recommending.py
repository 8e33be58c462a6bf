"""Trained model for recommendations, optionally with new items, a scene or exploration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from torch import nn

from recops_models.data.attributes import item_titles
from recops_models.data.columns import parse_integer_ids
from recops_models.data.dataset import Dataset, entity_keys
from recops_models.data.histories import Int64Array
from recops_models.data.new_items import KEY
from recops_models.generative.ranker import concatenate
from recops_models.recipes.answers import Answers, RequestItems
from recops_models.recipes.answers_of import answers_of
from recops_models.recipes.job import Job
from recops_models.recipes.ranking_table import ranking_table
from recops_models.recipes.request_events import RequestEvents

if TYPE_CHECKING:
    from recops_models.exploration.explore_config import ExploreConfig
    from recops_models.recipes.exploring import Explorer

_EXPLORING = "age"
"""Name of the model whose lists explore by default; others need no import of its class."""


@dataclass(frozen=True, eq=False)
class NewItems:
    """Items that were not in training; their indices follow those of the data set.

    Attributes:
        table: their ids ``item_key``, and the columns of the data set's items.
        titles: their titles.
    """

    table: pa.Table
    titles: list[str]


@dataclass(frozen=True, eq=False)
class ReadyModel:
    """Model with the data for its recommendations.

    Attributes:
        dataset: users and items.
        model: the model, over all items.
        answers: the answers of the model.
        new_items: items that were not in training.
        explorer: exploration of lists; None: lists do not explore.
    """

    dataset: Dataset
    model: nn.Module
    answers: Answers
    new_items: NewItems | None = None
    explorer: Explorer | None = None

    @cached_property
    def item_ids(self) -> pa.ChunkedArray:
        """Ids of the source, by index; new items come last."""
        return entity_keys(self.catalogue, "item")

    @cached_property
    def catalogue(self) -> Dataset:
        """The data set with the new items, if any, as its last items."""
        if self.new_items is None:
            return self.dataset
        return _with_new(self.dataset, self.new_items.table)

    def titles(self, items: pa.ChunkedArray) -> list[str]:
        """Return the titles of items given by id."""
        titles = item_titles(self.dataset)
        if self.new_items is not None:
            titles = titles + self.new_items.titles
        index = pc.index_in(items, value_set=self.item_ids.combine_chunks())
        return [titles[row] for row in index.to_pylist()]

    def requests(self, users: Int64Array) -> RequestEvents:
        """Return the requests of users with all their events.

        Args:
            users: ``[U]``, different indices of users.

        Raises:
            ValueError: a user has no events, and the model needs some.
        """
        events = RequestEvents.of_known_users(self.dataset, users)
        is_empty = events.histories.lengths == 0
        if self.answers.needs_events and is_empty.any():
            user = events.keys[int(is_empty.argmax())].as_py()
            raise ValueError(f"user {user} has no events, so nothing can be recommended")
        return events

    def lists(
        self,
        events: RequestEvents,
        k: int,
        *,
        items: RequestItems | None = None,
        answered: Callable[[int], None] = lambda count: None,
    ) -> pa.Table:
        """Return a table of the ``k`` best items of each request.

        See :func:`~.ranking_table.ranking_table`. With an ``explorer`` the columns are those of
        :meth:`.exploring.Explorer.table`.

        A ranker processes a batch of requests at once. Rounding depends on the size of a matrix
        product, so a score may differ by about 1e-6 of its value from that of a single request.
        Items with nearly equal scores can then change places.

        Args:
            events: the requests.
            k: number of items.
            items: the items of each request; None: all, without
                :meth:`~.request_events.RequestEvents.hidden_items`.
            answered: receives the number of users of each finished batch.
        """
        items = items or RequestItems(events.hidden_items())
        k = min(k, len(self.item_ids))
        if self.explorer is not None:
            _, table = self.explorer.table(events, items, k, self.item_ids, answered=answered)
            return table
        rankings = []
        for ranking in self.answers.batches(events, items, k):
            rankings.append(ranking)
            answered(len(ranking.items))
        return ranking_table(concatenate(rankings, k), events.keys, self.item_ids)


def ready_model(
    folder: Path,
    job: Job,
    model: nn.Module,
    dataset: Dataset,
    *,
    new_items: Path | None = None,
    scene: str | None = None,
    seed: int | None = None,
    explore: ExploreConfig | None = None,
    label: Mapping[str, float] | None = None,
) -> ReadyModel:
    """Prepare a model of :func:`~recops_models.recipes.trained.load_trained` for recommendations.

    Args:
        folder: folder of the training.
        job: the job that was trained.
        model: the trained model.
        dataset: the current data set.
        new_items: a file of new items; see
            :func:`~recops_models.recipes.new_items.insert_new_items`.
        scene: current scene of all users; None: the scene of each user's last event.
        seed: seed of exploration; None: lists do not explore.
        explore: exploration of the lists; None: AGE explores by its own scores, and other models
            do not explore.
        label: label → weight of the score of a click model; None: the click probability.

    Raises:
        DataError: the file of new items is unfit.
        ValueError: new items or a scene for a model that takes none; unknown scene; the model
            recommends nothing, or does not fit the policy of ``explore``.
    """
    new = None
    if new_items is not None or scene is not None:
        from recops_models.generative.unirec import UniRec
        from recops_models.recipes.new_items import insert_new_items

        if not isinstance(model, UniRec):
            raise ValueError(f"only unirec supports --new-items and --task, not {job.model}")
        if new_items is not None:
            inserted = insert_new_items(job, dataset, model, folder, new_items)
            model, new = inserted.live.model, NewItems(inserted.table, inserted.titles)
    dataset = job.recipe.catalogue(dataset, job.parts)
    answers = answers_of(job, model, dataset, scene=scene, label=label)
    explorer = None
    if seed is not None and (explore is not None or job.model == _EXPLORING):
        from recops_models.exploration.explore_config import ExploreConfig
        from recops_models.recipes.exploring import Explorer

        explorer = Explorer(answers, explore or ExploreConfig(), seed)
    return ReadyModel(dataset, model, answers, new, explorer)


def _with_new(dataset: Dataset, new: pa.Table) -> Dataset:
    """Append new items; ids become text if old ids are, or if a new one is no integer."""
    old, keys = entity_keys(dataset, "item"), new[KEY]
    if pa.types.is_int64(old.type):
        numbers, faults = parse_integer_ids(keys, "item_id")
        is_text = any(bad.any() for _, bad in faults)
        keys = keys if is_text else pa.chunked_array([numbers])
        old = old.cast(keys.type)
    first = int(dataset.item_vocabulary.ids.max(initial=-1)) + 1
    ids = pa.array(range(first, first + len(keys)), pa.int64())
    columns = [name for name in dataset.items.column_names if name not in ("item_id", KEY)]
    items = pa.concat_tables(
        [
            dataset.items.select(["item_id", *columns]),
            new.select(columns).add_column(0, "item_id", [ids]),
        ],
        promote_options="default",
    )
    with_keys = items.append_column(KEY, pa.chunked_array([*old.chunks, *keys.chunks]))
    return dataclasses.replace(dataset, items=with_keys.unify_dictionaries())
