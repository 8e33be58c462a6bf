"""Stages of models that rank the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor, nn

from recops_models import workers
from recops_models.data.dataset import Dataset
from recops_models.data.splits import SplitName
from recops_models.evaluation.metrics import RANKING_METRICS
from recops_models.examples.sequence_dataset import SequenceDataset
from recops_models.generative.popularity import item_counts
from recops_models.generative.ranker import Ranker, Recommender
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import Data, Stage, StageContext, TrainingStage, TrainResult
from recops_models.recipes.summary import training_summary
from recops_models.training.config import ChoiceConfig
from recops_models.training.next_item_task import NextItemTask
from recops_models.training.optimizers import check_dense
from recops_models.training.ranking_task import RankingTask
from recops_models.training.streamed_ranking_task import StreamedNextItemTask, StreamedRankingTask
from recops_models.training.trainer import CHECKPOINT, check_select

AnyNextItemTask: TypeAlias = NextItemTask | StreamedNextItemTask
"""Next-item prediction on histories in memory or in files."""

AnyRankingTask: TypeAlias = RankingTask[Any, Any] | StreamedRankingTask[Any, Any]
"""Ranking by histories in memory or in files."""


def check_dataset(model: str, data: Data) -> Dataset:
    """Return ``data`` if it is a data set in memory.

    Raises:
        ValueError: ``data`` holds click examples or streamed sequences; the message names
            ``model``.
    """
    if isinstance(data, SequenceDataset):
        raise ValueError(
            f"{model}: data must be interactions in memory, got the sequences of {data.name}; "
            "popularity, item-knn, sasrec, tiger and unirec stream sequences"
        )
    if not isinstance(data, Dataset):
        raise ValueError(f"{model}: data must be a data set, got the click examples of {data.name}")
    return data


def training_counts(task: AnyRankingTask) -> Tensor:
    """Return the number of training events of each item, ``[N]`` i64."""
    if isinstance(task, StreamedRankingTask):
        return task.item_counts
    return item_counts(task.train, task.num_items)


def next_item_task(
    model: str,
    data: Data,
    split: SplitName | None,
    validation_users: int | None = None,
    *,
    streams: bool,
) -> AnyNextItemTask:
    """Return the task on a data set in memory or, if the model ``streams``, on sequences.

    Raises:
        ValueError: see :func:`check_dataset`; or the data cannot be split.
    """
    if streams and isinstance(data, SequenceDataset):
        return StreamedNextItemTask(data, split, validation_users)
    return NextItemTask(check_dataset(model, data), split, validation_users)


class CountingStage(Stage[AnyNextItemTask]):
    """Stage that builds a model by counting, without a training by gradient.

    Args:
        name: name of the model.
        make: builds the model from its task and a context.
        streams: whether ``make`` accepts a task on streamed sequences.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[AnyNextItemTask, StageContext], Recommender],
        *,
        streams: bool = False,
    ) -> None:
        self.name, self.make, self.streams = name, make, streams

    def task(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> AnyNextItemTask:
        """See :meth:`Stage.task`."""
        return next_item_task(self.name, data, split, streams=self.streams)

    def run(self, context: StageContext) -> TrainResult:
        """See :meth:`Stage.run`."""
        task = self.task(context.data, context.settings, context.split)
        context.start_output()
        context.callbacks.start(self.name)
        model = workers.on_first(lambda: self.make(task, context)).to(context.device)
        context.callbacks.log_message(training_summary(self.name, task, model))
        return TrainResult(model, task)


class NextItemStage(TrainingStage[AnyNextItemTask, Ranker]):
    """Training on the next item of each history.

    Args:
        name: name of the model.
        make: builds the model from its task and a context.
        files: names of the files that ``make`` writes.
        streams: whether ``make`` accepts a task on streamed sequences.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[AnyNextItemTask, StageContext], Ranker],
        *,
        files: tuple[str, ...] = (),
        streams: bool = False,
    ) -> None:
        self.name, self.make, self.streams = name, make, streams
        self.files = (CHECKPOINT, *files)

    def check(self, context: StageContext) -> None:
        """See :meth:`Stage.check`; all these models score every item, so gradients are dense."""
        config = self.config(context.settings)
        check_select(RANKING_METRICS, config)
        check_dense(config)

    def task(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> AnyNextItemTask:
        """See :meth:`Stage.task`."""
        most = part(parts, "choice", ChoiceConfig).validation_users
        return next_item_task(self.name, data, split, most, streams=self.streams)

    def build(self, task: AnyNextItemTask, context: StageContext) -> Ranker:
        """See :meth:`TrainingStage.build`."""
        return self.make(task, context)
