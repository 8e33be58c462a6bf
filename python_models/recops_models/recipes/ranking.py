"""The stages of models that rank the catalogue."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from recops_models.data.dataset import Dataset
from recops_models.data.splits import SplitName
from recops_models.evaluation.metrics import RANKING_METRICS
from recops_models.generative.popularity import item_counts
from recops_models.generative.ranker import Ranker, Recommender
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import Data, Stage, StageContext, TrainingStage, TrainResult
from recops_models.training.config import ChoiceConfig
from recops_models.training.next_item import NextItem
from recops_models.training.optimizers import check_dense
from recops_models.training.ranking_problem import RankingProblem
from recops_models.training.trainer import CHECKPOINT, check_select


def ranking_problem(
    name: str, data: Data, split: SplitName | None, validation_users: int | None = None
) -> RankingProblem:
    """Which item comes next, of a data set.

    Raises:
        ValueError: ``data`` holds click examples; it names ``name``.
    """
    return RankingProblem(whole_dataset(name, data), split, validation_users)


def whole_dataset(name: str, data: Data) -> Dataset:
    """``data``, which must be a data set.

    Raises:
        ValueError: it holds click examples; it names ``name``.
    """
    if not isinstance(data, Dataset):
        raise ValueError(f"{name}: data must be a data set, got the click examples of {data.name}")
    return data


def training_counts(problem: RankingProblem) -> Tensor:
    """``[N]`` i64: how often each item stands in the training part."""
    return item_counts(problem.train, problem.num_items)


class CountingStage(Stage[RankingProblem]):
    """Makes a model of the training part's counts, by no gradient.

    Args:
        name: of the model.
        make: from counts ``[N]``.
    """

    def __init__(self, name: str, make: Callable[[Tensor], Recommender]) -> None:
        self.name, self.make = name, make

    def problem(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> RankingProblem:
        """See :meth:`Stage.problem`."""
        return ranking_problem(self.name, data, split)

    def run(self, context: StageContext) -> TrainResult:
        """See :meth:`Stage.run`."""
        problem = self.problem(context.data, context.settings, context.split)
        context.start_output()
        context.callbacks.start(self.name)
        return TrainResult(self.make(training_counts(problem)), problem)


class NextItemStage(TrainingStage[RankingProblem, Ranker]):
    """Trains a model on which event follows which.

    Args:
        name: of the model.
        make: from a problem and a context.
        files: names of the files that ``make`` writes.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[RankingProblem, StageContext], Ranker],
        *,
        files: tuple[str, ...] = (),
    ) -> None:
        self.name, self.make = name, make
        self.files = (CHECKPOINT, *files)

    def check(self, context: StageContext) -> None:
        """See :meth:`Stage.check`; all models here score every item."""
        config = self.config(context.settings)
        check_select(RANKING_METRICS, config)
        check_dense(config)

    def problem(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> RankingProblem:
        """See :meth:`Stage.problem`."""
        choice = part(parts, "choice", ChoiceConfig)
        return ranking_problem(self.name, data, split, choice.validation_users)

    def build(self, problem: RankingProblem, context: StageContext) -> Ranker:
        """See :meth:`TrainingStage.build`."""
        return self.make(problem, context)

    def task(self, problem: RankingProblem, model: Ranker, batch: int) -> NextItem:
        """See :meth:`TrainingStage.task`."""
        return NextItem(
            problem.train, problem.asked_each_epoch, problem.num_items, model.window, batch
        )
