"""Engagement and scenes of training windows and of held-out events."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recops_models import workers
from recops_models.data.splits import Examples
from recops_models.evaluation.metrics import RANKING_METRICS, hits
from recops_models.generative.path_ranker import PathRanker, Requests
from recops_models.training.device import number

ENGAGED = "hr@10_engaged"
"""HR@10 on targets of the highest engagement level; the paper's "orders only"."""


class PathEvents(NamedTuple):
    """Columns of events in addition to their items, ``[E]`` each."""

    weight: Tensor
    """f32, α; see :class:`~recops_models.examples.engagement.Engagement`."""
    reward: Tensor
    """f32, R."""
    level: Tensor
    """i64, engagement level."""
    task: Tensor
    """i64, scene."""

    def at(self, rows: Tensor) -> PathEvents:
        """Return the events ``rows``; row −1 gives an arbitrary event."""
        return PathEvents(*(column[rows] for column in self))


class PreferencePairs(NamedTuple):
    """Preferred items of windows, then the other items, and the rows of both."""

    items: Tensor
    """``[2 W, T]`` i64, 1-based; 0: no pair."""
    rows: Tensor
    """``[2 n]`` i64, see :func:`~recops_models.generative.windows.target_rows`."""


class PathWindows(NamedTuple):
    """Windows of histories, with the events of their targets ``items[:, 1:]``."""

    items: Tensor
    """``[W, T + 1]`` i64, 1-based, right-padded with 0."""
    rows: Tensor
    """``[n]`` i64, see :func:`~recops_models.generative.windows.target_rows`."""
    targets: PathEvents
    """``[W, T]`` each."""
    user: Tensor
    """``[W]`` i64, 1-based users."""
    pairs: PreferencePairs | None = None
    """Preferences within the windows, for alignment by preferences."""


@dataclass(frozen=True, eq=False)
class HeldOutEvents:
    """Held-out events that a ranker predicts.

    Attributes:
        examples: one target per user.
        task: ``[U]`` i64, scene of each target.
        level: ``[U]`` i64, engagement level of each target.
        levels: number of engagement levels.
    """

    examples: Examples
    task: Tensor
    level: Tensor
    levels: int

    def own(self) -> HeldOutEvents:
        """Return this worker's share of the events."""
        if not workers.several():
            return self
        share = workers.share()
        examples = self.examples.take(share.of(np.arange(len(self.examples.users))))
        return dataclasses.replace(
            self, examples=examples, task=share.of(self.task), level=share.of(self.level)
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics on these events."""
        return (*RANKING_METRICS, *((ENGAGED,) if self.levels > 1 else ()))

    def requests(self, model: PathRanker) -> Requests:
        """Return ``model`` with the scene and user of each event as inputs."""
        return Requests(model, self.task, torch.from_numpy(self.examples.users + 1))

    def engaged(self, ranks: Tensor) -> dict[str, float]:
        """Return ``hr@10_engaged`` of ``ranks [U]``; an empty dict if there is one level.

        It is NaN if no target has the highest level.
        """
        if self.levels == 1:
            return {}
        return {ENGAGED: engaged_hits(ranks, self.level == self.levels - 1)}


def engaged_hits(ranks: Tensor, is_highest: Tensor) -> float:
    """Return HR@10 of the targets of the highest level, over all workers.

    Args:
        ranks: ``[U]`` i64.
        is_highest: ``[U]`` bool, whether the target has the highest level.
    """
    return number(workers.mean(hits(ranks[is_highest], 10)))
