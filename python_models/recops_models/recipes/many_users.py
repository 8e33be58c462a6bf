"""Recommendations to many users: the answers of single requests, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from recops_models.data.histories import Histories, Int64Array
from recops_models.generative.path_ranker import PathRanker, Requests
from recops_models.generative.ranker import REQUESTS, Ranking, Recommender, in_batches
from recops_models.training.path_task import PathTask
from recops_models.training.ranking_task import RankingTask
from recops_models.training.task import AnyTask


def rankings(task: AnyTask, model: nn.Module, users: Int64Array, k: int) -> Iterator[Ranking]:
    """What ``task.recommend`` answers each user, in order, some users at a time.

    A ranker reads a batch at once. Matrix products of other sizes may round otherwise, so that a
    score differs from that of a single request in its last bits, about 1e-6 of it, and items that
    score as alike may change places. A click model is asked user by user.

    Args:
        task: recommends with the model.
        model: trained.
        users: ``[U]``, indices of users who have met something.
        k: how many items.
    """
    if not isinstance(task, RankingTask):
        for user in users.tolist():
            yield task.recommend(model, user, k)
        return
    assert isinstance(model, Recommender)
    data = task.dataset
    met = Histories.of(data.interactions, data.user_vocabulary, data.item_vocabulary)
    for start in range(0, len(users), REQUESTS):
        some = users[start : start + REQUESTS]
        histories = met.take(some)
        yield _told(task, model, some, histories).recommend(histories, k)


def _told(
    task: RankingTask[Any, Any], model: Recommender, users: Int64Array, histories: Histories
) -> Recommender:
    """``model``, told of each user what a single request tells it."""
    if not isinstance(task, PathTask):
        return model
    assert isinstance(model, PathRanker)
    alone = zip(users.tolist(), in_batches(histories, 1), strict=True)
    each = [task.request(model, user, known) for user, known in alone]
    return Requests(
        model, torch.cat([one.task for one in each]), torch.cat([one.user for one in each])
    )


def ranking_table(
    found: Ranking, users: Int64Array, user_ids: pa.ChunkedArray, item_ids: pa.ChunkedArray
) -> pa.Table:
    """A row an item that was found: ``user``, ``place`` i64 from 1, ``item``, ``score`` f32.

    Args:
        found: of :func:`rankings`, all of them as one.
        users: ``[U]``, whose they are.
        user_ids: of all users, by index.
        item_ids: of all items, by index.
    """
    row, column = (found.items >= 0).nonzero(as_tuple=True)
    items = found.items[row, column].numpy()
    return pa.table(
        {
            "user": user_ids.take(pa.array(users[row.numpy()])),
            "place": pa.array(column.numpy().astype(np.int64) + 1),
            "item": item_ids.take(pa.array(items)),
            "score": pa.array(found.scores[row, column].float().numpy()),
        }
    )
