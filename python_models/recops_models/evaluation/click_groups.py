"""Accuracy of click models per group of examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recops_models.data.histories import Int64Array
from recops_models.evaluation.beyond_accuracy import (
    LENGTH_GROUPS,
    POPULARITY_GROUPS,
    length_groups,
    popularity_groups,
)
from recops_models.evaluation.click_evaluation import ClickEvaluation
from recops_models.evaluation.grouped_auc import auc, grouped_auc
from recops_models.examples.features import FittedSchema
from recops_models.examples.loader import Source
from recops_models.examples.lookup import UNKNOWN
from recops_models.settings import JsonObject
from recops_models.training.device import array

_BATCH = 8192


def candidate_clicks(fitted: FittedSchema, train: Source) -> Int64Array | None:
    """Return the clicks of each row of the candidate's table ``[R]``; None without a candidate.

    Unknown candidates share one row, which counts none. O(N), in one
    pass over the examples.

    Args:
        fitted: the features of the examples.
        train: training examples.
    """
    candidate = fitted.schema.candidate
    if candidate is None:
        return None
    rows = fitted.cardinality(candidate)
    clicks = np.zeros(rows, dtype=np.int64)
    for batch in train.batches(_BATCH, seed=0):
        clicked = array(batch.features[candidate][batch.label > 0])
        clicks += np.bincount(clicked, minlength=rows)
    clicks[: UNKNOWN + 1] = 0
    return clicks


def click_accuracy_by_group(
    evaluation: ClickEvaluation, clicks: Int64Array | None
) -> dict[str, JsonObject]:
    """Return AUC and gAUC by popularity of the candidate and by length of the history.

    Args:
        evaluation: predictions of one part.
        clicks: result of :func:`candidate_clicks`.

    Returns:
        ``"item_popularity"`` (head, mid and tail, see
        :func:`~recops_models.evaluation.beyond_accuracy.popularity_groups`) and
        ``"history_length"`` (short, medium and long, see
        :func:`~recops_models.evaluation.beyond_accuracy.length_groups`): group → ``examples``,
        ``auc`` and ``gauc``, None if undefined. Groups of lengths also have ``events``, the
        smallest and largest length. Empty without a candidate.

    Complexity:
        O(N log N) for N examples.

    Example:
        >>> import torch
        >>> column = torch.tensor
        >>> predictions = ClickEvaluation(
        ...     logits=column([2.0, 1.0, 0.0]),
        ...     probability=column([0.88, 0.73, 0.5]),
        ...     label=column([1.0, 0.0, 1.0]),
        ...     user=column([7, 7, 7]),
        ...     known=column([True] * 3),
        ...     candidate=column([2, 2, 3]),
        ...     length=column([1, 1, 5]),
        ... )
        >>> clicks = np.array([0, 0, 9, 1])
        >>> popularity = click_accuracy_by_group(predictions, clicks)["item_popularity"]
        >>> popularity["head"]
        {'examples': 2, 'auc': 1.0, 'gauc': 1.0}
    """
    if clicks is None or evaluation.candidate is None or evaluation.length is None:
        return {}
    lengths = array(evaluation.length)
    by_popularity = popularity_groups(clicks)[array(evaluation.candidate)]
    by_length = length_groups(lengths)
    popularity = _accuracy(evaluation, by_popularity, POPULARITY_GROUPS)
    length = _accuracy(evaluation, by_length, LENGTH_GROUPS)
    for group, name in enumerate(LENGTH_GROUPS):
        members = lengths[by_length == group]
        length[name]["events"] = [int(members.min()), int(members.max())] if len(members) else None
    return {"item_popularity": popularity, "history_length": length}


def _accuracy(
    evaluation: ClickEvaluation, groups: Int64Array, names: Sequence[str]
) -> dict[str, dict[str, object]]:
    scores, label = array(evaluation.logits.float()), array(evaluation.label) == 1
    user = array(evaluation.user)
    accuracy: dict[str, dict[str, object]] = {}
    for group, name in enumerate(names):
        rows = groups == group
        values = {
            "auc": auc(scores[rows], label[rows]),
            "gauc": grouped_auc(scores[rows], label[rows], user[rows]).value,
        }
        defined = {metric: None if np.isnan(value) else value for metric, value in values.items()}
        accuracy[name] = {"examples": int(rows.sum()), **defined}
    return accuracy
