"""The task of path rankers: the next item's tokens, weighted by how much the event says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recops_models.data.histories import Histories
from recops_models.data.splits import Examples
from recops_models.evaluation.metrics import RANKING_METRICS, evaluate, hits
from recops_models.generative.path_losses import next_token_loss
from recops_models.generative.path_ranker import PathRanker, Requests
from recops_models.generative.windows import items_at, window_batches
from recops_models.training.task import Pass, Task

ENGAGED = "hr@10_engaged"
"""HR@10 among targets of the highest level: the paper's "orders only"."""


class PathEvents(NamedTuple):
    """What is known of events beside their items, ``[E]`` each."""

    weight: Tensor
    """f32, α; see :class:`~recops_models.examples.engagement.Engagement`."""
    reward: Tensor
    """f32, R."""
    level: Tensor
    """i64, of engagement."""
    task: Tensor
    """i64, the scene."""

    def at(self, places: Tensor) -> PathEvents:
        """Those at some places; what is said of place −1 is nobody's concern."""
        return PathEvents(*(column[places] for column in self))


class PathWindows(NamedTuple):
    """Windows of histories, and what is known of their targets ``items[:, 1:]``."""

    items: Tensor
    """``[W, T + 1]`` i64, 1-based, right-padded with 0."""
    targets: PathEvents
    """``[W, T]`` each."""
    user: Tensor
    """``[W]`` i64, whose they are, 1-based."""


@dataclass(frozen=True, eq=False)
class AskedEvents:
    """Held-out events, which a ranker is asked for.

    Attributes:
        examples: one target a user.
        task: ``[U]`` i64, the scenes they happened in.
        level: ``[U]`` i64, of engagement.
        levels: how many there can be.
    """

    examples: Examples
    task: Tensor
    level: Tensor
    levels: int

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that :meth:`measure` gives."""
        return (*RANKING_METRICS, *((ENGAGED,) if self.levels > 1 else ()))

    def of(self, model: PathRanker) -> Requests:
        """``model``, told who asks these questions, and where."""
        return Requests(model, self.task, torch.from_numpy(self.examples.users + 1))

    def engaged(self, ranks: Tensor) -> dict[str, float]:
        """``hr@10_engaged`` of ``ranks [U]``, NaN where no target has the highest level; nothing
        where there is one level.
        """
        if self.levels == 1:
            return {}
        return {ENGAGED: hits(ranks[self.level == self.levels - 1], 10).mean().item()}


@dataclass(frozen=True, eq=False)
class PathTask(Task[PathRanker, PathWindows]):
    """:class:`~recops_models.training.next_item.NextItem` for a ranker that gives log-probabilities
    of tokens: its windows, weights of targets, scenes of requests.

    Attributes:
        train: the training histories.
        events: what is known of their events, in their order.
        validation: held-out events.
        num_items: N.
        window: T, the model's.
        batch: windows a step, on average.
    """

    train: Histories
    events: PathEvents
    validation: AskedEvents
    num_items: int
    window: int
    batch: int

    @property
    def metrics(self) -> tuple[str, ...]:
        return self.validation.metrics

    def start(self, seed: int, epoch: int, skip: int) -> Pass[PathWindows]:
        rng = np.random.default_rng((seed, epoch))
        batches = window_batches(self.train, self.window, self.batch, rng)
        torch_seed = int(rng.integers(2**63))
        windows: Iterator[PathWindows] = map(self.windows, batches[skip:])
        return Pass(windows, sum(map(len, batches)), self.batch, torch_seed)

    def windows(self, places: Tensor) -> PathWindows:
        """What stands at the places ``[W, T + 1]`` of the training histories."""
        owner = np.searchsorted(self.train.offsets, places[:, 0].numpy(), side="right")
        user = torch.from_numpy(owner)
        return PathWindows(items_at(self.train, places), self.events.at(places[:, 1:]), user)

    def loss(self, model: PathRanker, batch: PathWindows) -> tuple[Tensor, Tensor]:
        """The weighted next-token loss, and the number of targets; with equal weights to the bit
        what :class:`~recops_models.training.next_item.NextItem` gives.
        """
        there = batch.items[:, 1:] > 0
        log_prob = target_log_probs(model, batch)
        return next_token_loss(log_prob, batch.targets.weight[there]), there.sum()

    def evaluate(self, model: PathRanker) -> dict[str, float]:
        asked = self.validation
        found = evaluate(asked.of(model), asked.examples, self.num_items)
        return {**found.metrics, **self.validation.engaged(found.ranks)}


def target_log_probs(model: PathRanker, batch: PathWindows) -> Tensor:
    """See :meth:`PathRanker.target_log_probs`."""
    history, target = batch.items[:, :-1], batch.items[:, 1:]
    return model.target_log_probs(history, target, batch.targets.task, user=batch.user)
