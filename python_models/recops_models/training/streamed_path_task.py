"""Training of path rankers on histories that are streamed from Parquet files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from recops_models.data.errors import DataError
from recops_models.data.splits import SplitName
from recops_models.evaluation.beyond_accuracy import BeyondAccuracy
from recops_models.evaluation.metrics import RANKING_METRICS
from recops_models.evaluation.streamed_ranking import StreamedEvaluation
from recops_models.examples.engagement import (
    AUTO,
    EDGES,
    EngagementConfig,
    levels_of,
    unscaled,
)
from recops_models.examples.scenes import SceneConfig, Scenes
from recops_models.examples.sequence_dataset import SequenceDataset
from recops_models.examples.sequence_reader import HeldOutPiece
from recops_models.examples.sequence_source import HistoryBuffer
from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.ranker import Recommender
from recops_models.generative.windows import items_at, target_rows
from recops_models.training.alignment_config import AlignmentConfig
from recops_models.training.path_events import ENGAGED, PathEvents, PathWindows, engaged_hits
from recops_models.training.path_task import path_loss
from recops_models.training.streamed_ranking_task import StreamedRankingTask


class StreamedPathTask(StreamedRankingTask[PathRanker, PathWindows]):
    """Next-token prediction with a weight per target, without scenes.

    Args:
        dataset: the catalogue and the files.
        engagement: the event columns of engagement.
        split: must be None: the files are split already.
        validation_users: at most this many rows choose the best epoch; None: all.

    Attributes:
        scenes: the only scene.

    Raises:
        DataError: a file has no valid row, lacks an event column, or has unfit values in it.
        ValueError: ``split`` is given, or settings of engagement contradict each other.
    """

    def __init__(
        self,
        dataset: SequenceDataset,
        engagement: EngagementConfig,
        split: SplitName | None = None,
        validation_users: int | None = None,
    ) -> None:
        self._engagement = engagement = resolved_engagement(dataset, engagement)
        super().__init__(dataset, split, validation_users, events=event_columns(engagement))
        self.scenes = Scenes.of(dataset, SceneConfig())
        self._mean, self._levels = self._survey()

    @property
    def metrics(self) -> tuple[str, ...]:
        return (*RANKING_METRICS, *((ENGAGED,) if self._levels > 1 else ()))

    def maker(self, buffer: HistoryBuffer) -> Callable[[Tensor], PathWindows]:
        events = self._events(buffer)

        def make(rows: Tensor) -> PathWindows:
            items = items_at(buffer.histories, rows)
            user = torch.zeros(len(rows), dtype=torch.int64)
            return PathWindows(items, target_rows(items[:, 1:]), events.at(rows[:, 1:]), user)

        return make

    def loss(self, model: PathRanker, batch: PathWindows) -> tuple[Tensor, int]:
        return path_loss(model, batch)

    def _events(self, buffer: HistoryBuffer) -> PathEvents:
        """Return the weights and levels of a buffer's events."""
        number = len(buffer.histories.items)
        task = torch.zeros(number, dtype=torch.int64)
        if not buffer.events.column_names:
            ones = torch.ones(number)
            return PathEvents(ones, ones, task, task)
        level, weight, reward, _ = unscaled(buffer.events, self._engagement, name=self.name)
        return PathEvents(
            torch.from_numpy((weight / self._mean).astype(np.float32)),
            torch.from_numpy(reward),
            torch.from_numpy(level),
            task,
        )

    def _evaluated(
        self,
        model: Recommender,
        pieces: Iterator[HeldOutPiece],
        beyond: BeyondAccuracy | None = None,
    ) -> StreamedEvaluation:
        levels = [np.empty(0, dtype=np.int64)]

        def with_levels() -> Iterator[HeldOutPiece]:
            for piece in pieces:
                if self._levels > 1:
                    targets = piece.events.take(piece.examples.targets.rows)
                    levels.append(levels_of(targets, self._engagement, name=self.name)[0])
                yield piece

        evaluation = super()._evaluated(model, with_levels(), beyond)
        if self._levels == 1:
            return evaluation
        highest = torch.from_numpy(np.concatenate(levels)) == self._levels - 1
        metrics = {**evaluation.metrics, ENGAGED: engaged_hits(evaluation.ranks, highest)}
        return dataclasses.replace(evaluation, metrics=metrics)

    def _survey(self) -> tuple[float, int]:
        """Return the mean of the unscaled weights of training events, and the number of levels."""
        if not event_columns(self._engagement):
            return 1.0, 1
        total, levels = 0.0, 1
        for buffer in self._source.buffers():
            events = unscaled(buffer.events, self._engagement, name=self.name)
            total, levels = total + float(events.weight.sum()), events.levels
        if not total:
            raise ValueError(f"{self.name}: level_weights must be above 0 for at least one event")
        return total / self.num_events, levels


def resolved_engagement(dataset: SequenceDataset, config: EngagementConfig) -> EngagementConfig:
    """Return the configuration with the column that ``"auto"`` stands for.

    Raises:
        DataError: there are edges of levels, but no column.
    """
    if config.engagement == AUTO:
        columns = dataset.files["train"].event_columns
        column = next((known for known in EDGES if known in columns), None)
        config = dataclasses.replace(config, engagement=column)
    if config.engagement is None and (config.level_edges or config.level_weights):
        raise DataError(
            f"{dataset.name}: level_edges and level_weights need a column of lists of numbers: set "
            f"engagement, as the files have none of {', '.join(EDGES)}"
        )
    return config


def event_columns(config: EngagementConfig) -> tuple[str, ...]:
    """Return the event columns that a resolved configuration reads."""
    names = [] if config.engagement is None else config.engagement.split(",")
    return tuple(dict.fromkeys([*names, *([] if config.value is None else [config.value])]))


def check_streamable(
    dataset: SequenceDataset,
    scenes: SceneConfig,
    alignment: AlignmentConfig,
    user_fields: tuple[str, ...],
) -> None:
    """Check that the settings need neither scenes, users nor an alignment.

    Raises:
        DataError: a setting needs interactions in memory; the message names it.
    """
    needs = {
        "task": scenes.task is not None,
        "objective": scenes.objective is not None,
        "align": alignment.align != "none",
        "user_fields": bool(user_fields),
    }
    for name, is_needed in needs.items():
        if is_needed:
            raise DataError(
                f"{dataset.name}: {name} needs columns of interactions in memory, but these are "
                f"sequences of items: leave out {name}"
            )
