"""Training of path rankers on the tokens of the next item, weighted by engagement."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from recops_models import workers
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.splits import Examples, SplitName
from recops_models.evaluation.metrics import Evaluation
from recops_models.examples.engagement import Engagement, EngagementConfig, levels_of
from recops_models.examples.scenes import SceneConfig, Scenes
from recops_models.generative.path_losses import check_reward_weights, next_token_loss
from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.windows import (
    at_rows,
    items_at,
    target_rows,
    window_batches,
)
from recops_models.training.alignment_config import AlignmentConfig
from recops_models.training.device import array
from recops_models.training.path_events import HeldOutEvents, PathEvents, PathWindows
from recops_models.training.ranking_task import RankingTask
from recops_models.training.task import with_shares

if TYPE_CHECKING:
    import pyarrow as pa


class PathTask(RankingTask[PathRanker, PathWindows]):
    """Next-token prediction with a weight per target and a scene per request.

    Args:
        dataset: the data set.
        engagement: the column of engagement.
        scenes: the columns of scenes and objectives.
        alignment: the training that follows next-token prediction.
        split: how the data set is split; None: see
            :func:`~recops_models.data.splits.named_split`.
        validation_users: at most this many users choose the best epoch; None: all.

    Raises:
        DataError: a column is missing or has unsuitable values; all events have the same reward or
            level, so that the alignment has nothing to learn.
        ValueError: no user has three events; settings that contradict each other.
    """

    def __init__(
        self,
        dataset: Dataset,
        engagement: EngagementConfig,
        scenes: SceneConfig,
        alignment: AlignmentConfig,
        split: SplitName | None = None,
        validation_users: int | None = None,
    ) -> None:
        check_reward_weights(alignment.strength, alignment.reward_clip)
        super().__init__(dataset, split, validation_users)
        self.scenes, self.alignment = Scenes.of(dataset, scenes), alignment
        self._engagement = engagement.of_dataset(dataset)
        for weight, column in ((alignment.strength, "reward"), (alignment.preferences, "level")):
            if weight and len(getattr(self.events, column).unique()) < 2:
                raise DataError(
                    f"{dataset.name}: align={alignment.align} needs events of more than one "
                    f"{column}; set engagement to their column, or align=none"
                )

    @cached_property
    def events(self) -> PathEvents:
        """The training events in the order of ``train``."""
        table, rows = self.parts.train, self.train.rows
        engagement = Engagement.of(table, self._engagement, name=self.name)
        scenes = self.scenes.of_events(table)
        columns = (engagement.weight, engagement.reward, engagement.level, scenes)
        return PathEvents(*(torch.from_numpy(column[rows]) for column in columns))

    @cached_property
    def epoch_events(self) -> HeldOutEvents:
        """The validation events that choose the best epoch."""
        return self._held_out(self.epoch_validation, "validation")

    @property
    def metrics(self) -> tuple[str, ...]:
        return self.epoch_events.metrics

    def held_out(self, part: str) -> HeldOutEvents:
        """Return all events to predict of ``"validation"`` or ``"test"``."""
        return self._held_out(getattr(self, part), part)

    def start_epoch(
        self, model: PathRanker, size: int, *, seed: int, epoch: int, skip: int
    ) -> tuple[int, Iterator[tuple[float, PathWindows]]]:
        rng = np.random.default_rng((seed, epoch))
        batches = window_batches(self.train, model.window, size, rng)
        torch_seed = int(rng.integers(2**63))
        windows = map(self.windows, map(workers.share().of, batches[skip:]))
        return torch_seed, with_shares(windows, skip, size, sum(map(len, batches)))

    def windows(self, rows: Tensor) -> PathWindows:
        """Return the windows with the events ``rows [W, T + 1]`` of the training histories."""
        owner = np.searchsorted(self.train.offsets, array(rows[:, 0]), side="right")
        user, items = torch.from_numpy(owner), items_at(self.train, rows)
        return PathWindows(items, target_rows(items[:, 1:]), self.events.at(rows[:, 1:]), user)

    def loss(self, model: PathRanker, batch: PathWindows) -> tuple[Tensor, int]:
        """Return the weighted next-token loss, and the number of targets.

        With equal weights it is bit-identical to the loss of
        :class:`~recops_models.training.next_item_task.NextItemTask`.
        """
        return path_loss(model, batch)

    def evaluate(self, model: PathRanker) -> dict[str, float]:
        events = self.epoch_events.own()
        result = self.evaluated(events.requests(model), events.examples)
        return {**result.metrics, **events.engaged(result.ranks)}

    def evaluation(self, model: nn.Module, part: str) -> Evaluation:
        """See :meth:`RankingTask.evaluation`; each request has the scene and user of its event."""
        assert isinstance(model, PathRanker)
        events = self.held_out(part)
        return self.evaluated(events.requests(model), events.examples)

    def summary(self, evaluation: Evaluation, part: str) -> tuple[dict[str, float], pa.Table]:
        """See :meth:`RankingTask.summary`.

        With more than one engagement level, the metrics include ``hr@10_engaged`` and the
        predictions the level of each target.
        """
        import pyarrow as pa

        metrics, table = super().summary(evaluation, part)
        events = self.held_out(part)
        if events.levels > 1:
            table = table.append_column("level", pa.array(array(events.level)))
        return {**metrics, **events.engaged(evaluation.ranks)}, table

    def _held_out(self, examples: Examples, part: str) -> HeldOutEvents:
        table = getattr(self.parts, part)
        rows = examples.targets.rows
        level, levels = levels_of(table, self._engagement, name=self.name)
        return HeldOutEvents(
            examples,
            torch.from_numpy(self.scenes.of_events(table)[rows]),
            torch.from_numpy(level[rows]),
            levels,
        )


def path_loss(model: PathRanker, batch: PathWindows) -> tuple[Tensor, int]:
    """Return the weighted next-token loss of windows, and their number of targets."""
    weight = at_rows(batch.targets.weight, batch.rows)
    return next_token_loss(target_log_probs(model, batch), weight), len(batch.rows)


def target_log_probs(model: PathRanker, batch: PathWindows) -> Tensor:
    """Return :meth:`PathRanker.target_log_probs` of a batch."""
    history, target = batch.items[:, :-1], batch.items[:, 1:]
    return model.target_log_probs(
        history, target, batch.targets.task, user=batch.user, rows=batch.rows
    )
