"""Recommendations and scores of the Python interface."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recops_models.api.context import in_context
from recops_models.api.feature_rows import has_features, score_rows
from recops_models.api.filters import intersection, items_where
from recops_models.api.items import Reader, grouped
from recops_models.click.label_scores import check_label_weights
from recops_models.click.model import ClickScorer
from recops_models.data.dataset import Dataset, entity_keys
from recops_models.data.errors import DataError
from recops_models.data.frames import Frame, IdsLike, from_arrow, is_frame, library_of
from recops_models.data.vocabulary import distinct
from recops_models.examples.sequence_dataset import SequenceDataset
from recops_models.generative.ranker import Ranking
from recops_models.recipes.answers import Answers, RequestItems
from recops_models.recipes.answers_of import answers_of
from recops_models.recipes.impression_log import ImpressionLog
from recops_models.recipes.job import Job
from recops_models.recipes.ranking_table import ranking_table
from recops_models.recipes.request_context import columns_of_pairs
from recops_models.recipes.request_events import RequestEvents
from recops_models.recipes.similar_items import similar_items
from recops_models.training.example_config import ExampleConfig

if TYPE_CHECKING:
    from recops_models.recipes.exploring import Explorer


class CatalogueModel(Protocol):
    """Trained model with the data of its catalogue.

    Attributes:
        folder: the model's files.
    """

    folder: Path

    @property
    def module(self) -> nn.Module:
        """The trained torch module."""
        ...

    @property
    def matched(self) -> nn.Module:
        """The torch module for the items of :attr:`data`."""
        ...

    @property
    def job(self) -> Job:
        """The job that was trained."""
        ...

    @property
    def data(self) -> Dataset:
        """The catalogue, with the events of users."""
        ...


def recommend(
    model: CatalogueModel,
    users: IdsLike,
    *,
    histories: Frame | None,
    k: int,
    allowed: IdsLike,
    banned: IdsLike,
    candidates: Frame | None,
    where: str | None,
    exclude_seen: bool | None,
    explore: str | Mapping[str, object] | None,
    seed: int,
    log: str | Path | None,
    log_time: float | None,
    label: str | Mapping[str, float] | None = None,
    context: Frame | None = None,
    offers: Frame | None = None,
) -> Frame:
    """Return recommendations; see :meth:`recops_models.api.model.Model.recommend`."""
    if k < 1:
        raise ValueError(f"recommend: k must be 1 or more, got {k}")
    if exclude_seen is None:
        exclude_seen = model.data.repeats == "drop"
    if log is None and log_time is not None:
        raise ValueError("recommend: log_time requires log")
    reader = Reader("recommend", model.data)
    answers, events = _requests(model, reader, users, histories, candidates, _weights(label))
    events = in_context(reader, answers, events, context, offers, model=model.job.model)
    explorer = None if explore is None else _explorer(answers, explore, seed)
    record = None
    if log is not None:
        record = ImpressionLog.of(Path(log), model.folder, model.job, explorer, log_time)
    chosen = _allowed(reader, allowed, candidates, events.keys)
    if where is not None:
        rows = items_where(events.dataset, where)
        chosen = intersection(chosen, [rows] * len(events.keys))
    refused = (
        [torch.empty(0, dtype=torch.int64)] * len(events.keys)
        if banned is None
        else reader.items_of_users(banned, "banned", events.keys)
    )
    hidden = [torch.cat(pair) for pair in zip(refused, events.seen_items(), strict=True)]
    items = RequestItems(hidden if exclude_seen else refused, chosen)
    length = min(k, events.dataset.items.num_rows)
    keys = entity_keys(events.dataset, "item")
    if explorer is None:
        ranking = answers.rank(events, items, length)
        table = ranking_table(ranking, events.keys, keys)
    else:
        ranking, table = explorer.table(events, items, length, keys)
    _warn_of_short_lists(ranking, events, items, k, exclude_seen)
    if record is not None:
        record.write(table)
    table = table.rename_columns(["user_id", "rank", "item_id", *table.column_names[3:]])
    return from_arrow(table, _library(model.data, users, histories, candidates))


def score(
    model: CatalogueModel,
    frame: Frame,
    *,
    histories: Frame | None,
    label: str | Mapping[str, float] | None = None,
) -> NDArray[np.float32]:
    """Return the score of each row; see :meth:`recops_models.api.model.Model.score`."""
    weights = _weights(label)
    if isinstance(model.module, ClickScorer) and has_features(model.module, frame):
        if weights is not None:
            check_label_weights(model.module, model.job.model, weights)
        return score_rows(model.module, frame, weights)
    reader = Reader("score", model.data)
    table = reader.table(frame, "frame", "user_id", "item_id")
    if not table.num_rows:
        return np.empty(0, dtype=np.float32)
    asked = pa.chunked_array([pc.unique(reader.ids(table["user_id"], "frame", "user_id"))])
    answers, events = _requests(model, reader, asked, histories, None, weights)
    user, _ = reader.pairs(table, events.keys)
    item = torch.from_numpy(reader.rows(table["item_id"], "frame", "item"))
    groups = grouped(user, item, len(events.keys))
    order = np.argsort(user, kind="stable")
    columns = columns_of_pairs(table, events.dataset, answers.request_columns(events.dataset))
    if columns is not None:
        columns = columns.take(pa.array(order))
    scores = answers.scores(events, groups, columns)
    result = np.empty(table.num_rows, dtype=np.float32)
    result[order] = torch.cat(scores).numpy()
    return result


def similar(model: CatalogueModel, items: IdsLike, k: int) -> Frame:
    """Return similar items; see :meth:`recops_models.api.model.Model.similar_items`."""
    if k < 1:
        raise ValueError(f"similar_items: k must be 1 or more, got {k}")
    data = model.data
    reader = Reader("similar_items", data)
    rows = reader.rows(reader.ids(items, "items", "item_id"), "items", "item")
    ranking = similar_items(model.matched, data, torch.from_numpy(rows), k)
    keys = entity_keys(data, "item")
    row, column = (ranking.items >= 0).nonzero(as_tuple=True)
    table = pa.table(
        {
            "item_id": keys.take(pa.array(rows[row.numpy()])),
            "rank": pa.array(column.numpy() + 1),
            "similar_item_id": keys.take(pa.array(ranking.items[row, column].numpy())),
            "score": pa.array(ranking.scores[row, column].float().numpy()),
        }
    )
    return from_arrow(table, _library(data, items))


def _requests(
    model: CatalogueModel,
    reader: Reader,
    users: IdsLike,
    histories: Frame | None,
    candidates: Frame | None,
    label: Mapping[str, float] | None,
) -> tuple[Answers, RequestEvents]:
    """Return the model's answers, and the requests of a call.

    Raises:
        ValueError: a user has no events, and the model needs some.
    """
    data = model.data
    job = model.job
    answers = answers_of(job, model.matched, data, label=label)
    if users is None and histories is None and candidates is not None:
        users = reader.table(candidates, "candidates", "user_id", "item_id")["user_id"]
    if histories is None:
        if users is None:
            if isinstance(data, SequenceDataset):
                raise DataError(
                    f"{reader.call}: {data.name} has sequences in files and no users in memory: "
                    "pass the events of users as histories="
                )
            active = data.user_vocabulary.index(data.interactions["user_id"].to_numpy())
            return answers, RequestEvents.of_known_users(data, distinct(active))
        events = RequestEvents.of_known_users(data, reader.users(users))
    else:
        table = reader.table(histories, "histories", "user_id", "item_id")
        if users is not None:
            table = _of_users(reader, table, users)
        examples = job.parts.get("examples")
        events = RequestEvents.of_histories(
            data,
            table,
            positive=examples.positive if isinstance(examples, ExampleConfig) else 0.0,
            keeps_others=answers.keeps_others,
        )
    if answers.needs_events:
        _check_events(reader.call, events, histories is not None)
    _warn_of_unknown_items(reader.call, events)
    return answers, events


def _explorer(answers: Answers, explore: str | Mapping[str, object], seed: int) -> Explorer:
    from recops_models.exploration.explore_config import ExploreConfig
    from recops_models.recipes.exploring import Explorer

    return Explorer(answers, ExploreConfig.of(explore), seed)


def _weights(label: str | Mapping[str, float] | None) -> Mapping[str, float] | None:
    return {label: 1.0} if isinstance(label, str) else label


def _of_users(reader: Reader, histories: pa.Table, users: IdsLike) -> pa.Table:
    asked = reader.ids(users, "users", "user_id")
    users_of_events = reader.ids(histories["user_id"], "histories", "user_id")
    missing = pc.filter(
        asked, pc.invert(pc.is_in(asked, value_set=users_of_events.combine_chunks()))
    )
    if len(missing):
        raise DataError(f"{reader.call}: users: histories has no events of {missing[0].as_py()!r}")
    return histories.filter(pc.is_in(users_of_events, value_set=asked.combine_chunks()))


def _check_events(call: str, events: RequestEvents, from_histories: bool) -> None:
    lengths = events.histories.lengths
    if (lengths == 0).any():
        key = events.keys[int((lengths == 0).argmax())].as_py()
        reason = "no events of known items in histories" if from_histories else "no events"
        raise ValueError(f"{call}: user {key!r} has {reason}, so there is nothing to go by")


def _warn_of_unknown_items(call: str, events: RequestEvents) -> None:
    if events.unknown_items:
        warnings.warn(
            f"{call}: {events.unknown_items:,} events of histories have items that the model does "
            "not know; they are skipped",
            stacklevel=5,
        )


def _allowed(
    reader: Reader, allowed: IdsLike, candidates: Frame | None, keys: pa.ChunkedArray
) -> list[Tensor] | None:
    """Return the items that each user may receive; None: all."""
    rows = None if allowed is None else reader.items_of_users(allowed, "allowed", keys)
    if candidates is None:
        return rows
    table = reader.table(candidates, "candidates", "user_id", "item_id")
    ranked = reader.items_of_users(table, "candidates", keys)
    return intersection(rows, ranked)


def _warn_of_short_lists(
    ranking: Ranking, events: RequestEvents, items: RequestItems, k: int, exclude_seen: bool
) -> None:
    """Warn of lists with fewer than k items, with the reason for the first one."""
    counts = (ranking.items >= 0).sum(1)
    is_short = counts < k
    if not is_short.any():
        return
    user = int(is_short.int().argmax())
    num_items = events.dataset.items.num_rows
    reasons = [f"the catalogue has {num_items:,} items"]
    if items.allowed is not None:
        number = len(items.allowed[user].unique())
        reasons.append(f"the filters leave {number:,} of them")
    hidden = len(items.banned[user].unique())
    if hidden:
        seen = "banned or in the history" if exclude_seen else "banned"
        reasons.append(f"{hidden:,} are {seen}")
    warnings.warn(
        f"recommend: {int(is_short.sum()):,} of {len(counts):,} users have fewer than {k} items; "
        f"user {events.keys[user].as_py()!r} has {int(counts[user])}: {', '.join(reasons)}",
        stacklevel=4,
    )


def _library(data: Dataset, *arguments: IdsLike) -> str:
    """Return the library of the first frame among the arguments, else that of the data."""
    return next((library_of(value) for value in arguments if is_frame(value)), data.library)
