"""The task of sequential recommenders: after each event of a history, which item comes next?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from recops_models.data import Examples, Histories
from recops_models.evaluation.metrics import RANKING_METRICS, evaluate
from recops_models.generative.recommender import Ranking
from recops_models.generative.windows import cut_windows
from recops_models.training.task import Pass


class NextItemModel(Protocol):
    """A recommender with a loss."""

    @property
    def window(self) -> int:
        """T: how many past events the loss looks at."""
        ...

    def loss(self, history: Tensor, target: Tensor) -> Tensor:
        """Mean negative log-likelihood of ``target[b, t]`` after ``history[b, : t + 1]``.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0.
            target: ``[B, T]`` i64, the same one step on; 0 where there is no target.
        """
        ...

    def recommend(self, histories: Histories, k: int) -> Ranking:
        """See :class:`~recops_models.generative.recommender.Recommender`."""
        ...


@dataclass(frozen=True, eq=False)
class NextItem:
    """Windows of training histories; validation by ranking the whole catalogue.

    Each pass draws the windows' cuts and order, and the seed of dropout, from ``(seed, epoch)``.

    Attributes:
        train: the training histories.
        validation: one held-out event a user.
        num_items: N.
        window: T, the model's.
        batch: windows a step.
    """

    train: Histories
    validation: Examples
    num_items: int
    window: int
    batch: int

    @property
    def metrics(self) -> tuple[str, ...]:
        return RANKING_METRICS

    def start(self, seed: int, epoch: int, skip: int) -> Pass:
        rng = np.random.default_rng((seed, epoch))
        windows = cut_windows(self.train, self.window, rng)
        windows = windows[torch.from_numpy(rng.permutation(len(windows)))]
        torch_seed = int(rng.integers(2**63))
        batches: Iterator[Tensor] = iter(windows.split(self.batch)[skip:])
        return Pass(batches, len(windows), self.batch, torch_seed)

    def loss(self, model: Any, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Of windows ``[B, T + 1]`` i64, and their number of targets."""
        target = batch[:, 1:]
        return model.loss(batch[:, :-1], target), (target > 0).sum()

    def evaluate(self, model: Any) -> dict[str, float]:
        return evaluate(model, self.validation, self.num_items).metrics
