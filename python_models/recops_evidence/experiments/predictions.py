"""Metrics of stored predictions on bootstrap samples of the users."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from recops_evidence.harness.user_draws import UserDraws
from recops_models.data.storage import read_table
from recops_models.evaluation.bootstrap import Statistic
from recops_models.evaluation.metrics import gains, hits
from recops_models.evaluation.weighted_auc import WeightedAuc, WeightedGauc
from recops_models.evaluation.weighted_ratio import WeightedRatio
from recops_models.recipes.predictions import PREDICTIONS


def prediction_draws(folder: Path, metrics: Iterable[str]) -> UserDraws:
    """Return bootstrap samples of those ``metrics`` that are defined per user.

    These are ``auc`` and ``gauc`` of clicks, and ``hr@k`` and ``ndcg@k`` of ranks. A suffix, as in
    ``hr@k_liked``, restricts the metric to rows where the column of that name is true.
    """
    table = read_table(folder / PREDICTIONS)
    ids, user = np.unique(table["user"].to_numpy(), return_inverse=True)
    statistic_of = _click_statistic if "probability" in table.column_names else _rank_statistic
    pairs = ((metric, statistic_of(metric, table, user, len(ids))) for metric in metrics)
    statistics = {metric: statistic for metric, statistic in pairs if statistic is not None}
    return UserDraws.of(ids, statistics, table.num_rows)


def _click_statistic(
    metric: str, table: pa.Table, user: NDArray[np.int64], users: int
) -> Statistic | None:
    kind, _, column = metric.partition("_")
    if kind not in ("auc", "gauc") or (column and column not in table.column_names):
        return None
    counted = table[column].to_numpy() if column else np.ones(len(user), dtype=np.bool_)
    weighted = WeightedAuc if kind == "auc" else WeightedGauc
    scores, label = table["probability"].to_numpy(), table["label"].to_numpy() > 0
    return weighted(scores[counted], label[counted], user[counted])


def _rank_statistic(
    metric: str, table: pa.Table, user: NDArray[np.int64], users: int
) -> Statistic | None:
    kind, _, suffix = metric.partition("@")
    cutoff, _, column = suffix.partition("_")
    if kind not in ("hr", "ndcg") or (column and column not in table.column_names):
        return None
    value = hits if kind == "hr" else gains
    ranks = torch.from_numpy(table["rank"].to_numpy().copy())
    counted = table[column].to_numpy() if column else np.ones(len(user))
    reached = value(ranks, int(cutoff)).numpy() * counted
    return WeightedRatio(reached, counted, user, users)
