"""Training of sequential recommenders on the next item of each history."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from recops_models.evaluation.metrics import RANKING_METRICS, evaluate
from recops_models.generative.ranker import Ranker
from recops_models.generative.windows import items_at, window_batches
from recops_models.training.ranking_task import RankingTask
from recops_models.training.task import with_shares


class NextItemTask(RankingTask[Ranker, Tensor]):
    """Next-item prediction on windows ``[B, T + 1]`` i64 of the training histories.

    Each epoch draws the cuts and the order of the windows, and the seed of dropout, from
    ``(seed, epoch)``.
    """

    @property
    def metrics(self) -> tuple[str, ...]:
        return RANKING_METRICS

    def start_epoch(
        self, model: Ranker, size: int, *, seed: int, epoch: int, skip: int
    ) -> tuple[int, Iterator[tuple[float, Tensor]]]:
        rng = np.random.default_rng((seed, epoch))
        batches = window_batches(self.train, model.window, size, rng)
        torch_seed = int(rng.integers(2**63))
        items = (items_at(self.train, rows) for rows in batches[skip:])
        return torch_seed, with_shares(items, skip, size, sum(map(len, batches)))

    def loss(self, model: Ranker, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss of windows ``[B, T + 1]`` i64, and their number of targets."""
        target = batch[:, 1:]
        return model.loss(batch[:, :-1], target), (target > 0).sum()

    def evaluate(self, model: Ranker) -> dict[str, float]:
        return evaluate(model, self.epoch_validation, self.num_items).metrics
