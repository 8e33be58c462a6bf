"""Ranking metrics of examples that are read piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recops_models.data.histories import Int64Array
from recops_models.data.splits import Examples
from recops_models.evaluation.beyond_accuracy import BeyondAccuracy, rank_accuracy_by_group
from recops_models.evaluation.metrics import (
    LIST_LENGTH,
    metrics_of_ranks,
    shown_items,
    target_ranks,
)
from recops_models.generative.ranker import Recommender
from recops_models.process import keep_freed_memory
from recops_models.settings import JsonObject


@dataclass(frozen=True, eq=False)
class StreamedEvaluation:
    """Ranks of held-out items; memory is 24 bytes per user.

    Attributes:
        ranks: ``[U]`` i64, see :class:`~recops_models.evaluation.metrics.Evaluation`.
        targets: ``[U]`` i64, the held-out items.
        lengths: ``[U]`` i64, lengths of the histories.
        metrics: those of :func:`~recops_models.evaluation.metrics.ranking_metrics`.
    """

    ranks: Tensor
    targets: Int64Array
    lengths: Int64Array
    metrics: dict[str, float]

    def by_group(self, counts: Int64Array) -> dict[str, JsonObject]:
        """Return the accuracy of groups of users.

        Args:
            counts: ``[N]``, training events of each item.
        """
        return rank_accuracy_by_group(self.ranks, self.targets, self.lengths, counts)


def evaluate_pieces(
    model: Recommender,
    pieces: Iterable[Examples],
    num_items: int,
    *,
    exclude_seen: bool,
    beyond: BeyondAccuracy | None = None,
) -> StreamedEvaluation:
    """Return the metrics of :func:`~recops_models.evaluation.metrics.evaluate`, piece by piece.

    Args:
        model: any recommender.
        pieces: examples with one held-out event per user.
        num_items: size of the catalogue, for coverage.
        exclude_seen: whether lists leave out the items of the history.
        beyond: also receives the lists.
    """
    keep_freed_memory()
    # A recommender that always excludes them need not have the option.
    options = {} if exclude_seen else {"exclude_seen": False}
    ranks = [torch.empty(0, dtype=torch.int64)]
    shown = torch.empty(0, dtype=torch.int64)
    targets, lengths = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for examples in pieces:
        items = model.recommend(examples.histories, LIST_LENGTH, **options).items
        ranks.append(target_ranks(items, torch.from_numpy(examples.targets.items)))
        shown = torch.cat([shown, shown_items(items)]).unique()
        targets.append(examples.targets.items)
        lengths.append(examples.histories.lengths)
        if beyond is not None:
            beyond.add(items, examples.histories)
    all_ranks = torch.cat(ranks)
    return StreamedEvaluation(
        all_ranks,
        np.concatenate(targets),
        np.concatenate(lengths),
        metrics_of_ranks(all_ranks, shown, num_items),
    )
