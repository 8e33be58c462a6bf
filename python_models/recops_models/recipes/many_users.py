"""Recommendations to many users, in batches."""

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
    """Yield the results of ``task.recommend`` for batches of users, in order.

    A ranker processes a batch at once. Rounding depends on the size of a matrix product, so a score
    may differ by about 1e-6 of its value from that of a single request. Items with nearly equal
    scores can then change places. A click model processes one user at a time.

    Args:
        task: recommends with the model.
        model: trained.
        users: ``[U]``, indices of users with events.
        k: number of items.
    """
    if not isinstance(task, RankingTask):
        for user in users.tolist():
            yield task.recommend(model, user, k)
        return
    assert isinstance(model, Recommender)
    data = task.dataset
    all_histories = Histories.of(data.interactions, data.user_vocabulary, data.item_vocabulary)
    for start in range(0, len(users), REQUESTS):
        batch = users[start : start + REQUESTS]
        histories = all_histories.take(batch)
        yield _with_inputs(task, model, batch, histories).recommend(histories, k)


def _with_inputs(
    task: RankingTask[Any, Any], model: Recommender, users: Int64Array, histories: Histories
) -> Recommender:
    """Return ``model`` with the inputs that a single request of each user has."""
    if not isinstance(task, PathTask):
        return model
    assert isinstance(model, PathRanker)
    pairs = zip(users.tolist(), in_batches(histories, 1), strict=True)
    requests = [task.request(model, user, history) for user, history in pairs]
    return Requests(
        model,
        torch.cat([request.task for request in requests]),
        torch.cat([request.user for request in requests]),
    )


def ranking_table(
    ranking: Ranking, users: Int64Array, user_ids: pa.ChunkedArray, item_ids: pa.ChunkedArray
) -> pa.Table:
    """Return a table with a row per recommended item.

    Its columns are ``user``, ``place`` i64 from 1, ``item`` and ``score`` f32.

    Args:
        ranking: the concatenated results of :func:`rankings`.
        users: ``[U]``, indices of the users.
        user_ids: ids of all users, by index.
        item_ids: ids of all items, by index.
    """
    row, column = (ranking.items >= 0).nonzero(as_tuple=True)
    items = ranking.items[row, column].numpy()
    return pa.table(
        {
            "user": user_ids.take(pa.array(users[row.numpy()])),
            "place": pa.array(column.numpy().astype(np.int64) + 1),
            "item": item_ids.take(pa.array(items)),
            "score": pa.array(ranking.scores[row, column].float().numpy()),
        }
    )
