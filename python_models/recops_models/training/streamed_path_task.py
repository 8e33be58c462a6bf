"""Training of path rankers on histories that are streamed from Parquet files."""

from __future__ import annotations

import torch
from torch import Tensor

from recops_models.data.errors import DataError
from recops_models.data.histories import Histories
from recops_models.data.splits import SplitName
from recops_models.examples.engagement import AUTO, EngagementConfig
from recops_models.examples.scenes import SceneConfig, Scenes
from recops_models.examples.sequence_dataset import SequenceDataset
from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.windows import items_at, target_rows
from recops_models.training.alignment_config import AlignmentConfig
from recops_models.training.path_events import PathEvents, PathWindows
from recops_models.training.path_task import path_loss
from recops_models.training.streamed_ranking_task import StreamedRankingTask


class StreamedPathTask(StreamedRankingTask[PathRanker, PathWindows]):
    """Next-token prediction with equal weights, without scenes.

    Args:
        dataset: the catalogue and the files.
        split: must be None: the files are split already.
        validation_users: at most this many rows choose the best epoch; None: all.

    Attributes:
        scenes: the only scene.
    """

    def __init__(
        self,
        dataset: SequenceDataset,
        split: SplitName | None = None,
        validation_users: int | None = None,
    ) -> None:
        super().__init__(dataset, split, validation_users)
        self.scenes = Scenes.of(dataset, SceneConfig())

    def batch(self, histories: Histories, rows: Tensor) -> PathWindows:
        items = items_at(histories, rows)
        shape = items[:, 1:].shape
        ones, zeros = torch.ones(shape), torch.zeros(shape, dtype=torch.int64)
        user = torch.zeros(len(rows), dtype=torch.int64)
        return PathWindows(
            items, target_rows(items[:, 1:]), PathEvents(ones, ones, zeros, zeros), user
        )

    def loss(self, model: PathRanker, batch: PathWindows) -> tuple[Tensor, int]:
        return path_loss(model, batch)


def check_streamable(
    dataset: SequenceDataset,
    engagement: EngagementConfig,
    scenes: SceneConfig,
    alignment: AlignmentConfig,
    user_fields: tuple[str, ...],
) -> None:
    """Check that the settings need no columns of events or users, which sequences lack.

    Raises:
        DataError: a setting needs them; the message names it.
    """
    needs = {
        "engagement": engagement.engagement not in (None, AUTO),
        "level_edges": bool(engagement.level_edges),
        "level_weights": bool(engagement.level_weights),
        "value": engagement.value is not None,
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
