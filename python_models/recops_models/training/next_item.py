"""The task of sequential recommenders: after each event of a history, which item comes next?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from recops_models.data.histories import Histories
from recops_models.data.splits import Examples
from recops_models.evaluation.metrics import RANKING_METRICS, evaluate
from recops_models.generative.ranker import Ranker
from recops_models.generative.windows import items_at, window_batches
from recops_models.training.task import Pass, Task


@dataclass(frozen=True, eq=False)
class NextItem(Task[Ranker, Tensor]):
    """Windows of training histories; validation by ranking the whole catalogue.

    Each pass draws the windows' cuts and order, and the seed of dropout, from ``(seed, epoch)``.

    Attributes:
        train: the training histories.
        validation: one held-out event a user.
        num_items: N.
        window: T, the model's.
        batch: windows a step, on average.
    """

    train: Histories
    validation: Examples
    num_items: int
    window: int
    batch: int

    @property
    def metrics(self) -> tuple[str, ...]:
        return RANKING_METRICS

    def start(self, seed: int, epoch: int, skip: int) -> Pass[Tensor]:
        rng = np.random.default_rng((seed, epoch))
        batches = window_batches(self.train, self.window, self.batch, rng)
        torch_seed = int(rng.integers(2**63))
        items: Iterator[Tensor] = (items_at(self.train, places) for places in batches[skip:])
        return Pass(items, sum(map(len, batches)), self.batch, torch_seed)

    def loss(self, model: Ranker, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Of windows ``[B, T + 1]`` i64, and their number of targets."""
        target = batch[:, 1:]
        return model.loss(batch[:, :-1], target), (target > 0).sum()

    def evaluate(self, model: Ranker) -> dict[str, float]:
        return evaluate(model, self.validation, self.num_items).metrics
