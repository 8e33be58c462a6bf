"""Training of sequential recommenders on the next item of each history."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from recops_models import workers
from recops_models.evaluation.metrics import RANKING_METRICS
from recops_models.generative.ranker import Ranker
from recops_models.generative.windows import Windows, items_at, window_batches
from recops_models.training.ranking_task import RankingTask, own_examples
from recops_models.training.task import with_shares


class NextItemTask(RankingTask[Ranker, Windows]):
    """Next-item prediction on windows of the training histories.

    Each epoch draws the cuts and the order of the windows, and the seed of dropout, from
    ``(seed, epoch)``.
    """

    @property
    def metrics(self) -> tuple[str, ...]:
        return RANKING_METRICS

    def start_epoch(
        self, model: Ranker, size: int, *, seed: int, epoch: int, skip: int
    ) -> tuple[int, Iterator[tuple[float, Windows]]]:
        rng = np.random.default_rng((seed, epoch))
        batches = window_batches(self.train, model.window, size, rng)
        torch_seed = int(rng.integers(2**63))
        own = map(workers.share().of, batches[skip:])
        windows = (Windows.of(items_at(self.train, rows)) for rows in own)
        return torch_seed, with_shares(windows, skip, size, sum(map(len, batches)))

    def loss(self, model: Ranker, batch: Windows) -> tuple[Tensor, int]:
        return next_item_loss(model, batch)

    def evaluate(self, model: Ranker) -> dict[str, float]:
        return self.evaluated(model, own_examples(self.epoch_validation)).metrics


def next_item_loss(model: Ranker, batch: Windows) -> tuple[Tensor, int]:
    """Return the mean loss of windows, and their number of targets."""
    history, target = batch.items[:, :-1], batch.items[:, 1:]
    return model.loss(history, target, rows=batch.rows), len(batch.rows)
