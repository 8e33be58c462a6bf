"""Tasks of recommenders that rank the catalogue by a user's history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from recops_models import workers
from recops_models.data.dataset import Dataset
from recops_models.data.histories import Histories
from recops_models.data.splits import Examples, SplitName, named_split
from recops_models.evaluation.metrics import Evaluation, evaluate
from recops_models.generative.ranker import Recommender
from recops_models.training.device import array
from recops_models.training.task import BatchT, ModelT, RecommenderTask

if TYPE_CHECKING:
    import pyarrow as pa


class RankingTask(RecommenderTask[ModelT, BatchT]):
    """Prediction of the next item among the whole catalogue.

    If the data set drops repeats, lists leave out the items of the history.

    Args:
        dataset: the data set.
        split: how it is split; None: see :func:`~recops_models.data.splits.named_split`.
        validation_users: at most this many users choose the best epoch; None: all.

    Attributes:
        parts: the split data.
        train: training histories of all users.
        validation: the next event of each validation user.
        test: the next event of each test user.
        epoch_validation: the events of ``validation`` that choose the best epoch.
        num_items: size of the catalogue, N.

    Raises:
        ValueError: no user has three events, or no test user is known from training.
    """

    dataset: Dataset

    def __init__(
        self,
        dataset: Dataset,
        split: SplitName | None = None,
        validation_users: int | None = None,
    ) -> None:
        self.name, self.dataset = dataset.name, dataset
        self.split, self.parts = named_split(dataset, split)
        self.train = self.parts.histories()
        self.validation, self.test = (
            self.parts.examples(part).next_events() for part in ("validation", "test")
        )
        self.num_items = dataset.items.num_rows
        if not len(self.validation.users):
            raise ValueError(
                f"{dataset.name}: no user has three events, so nothing can be held out"
            )
        if not len(self.test.users):
            raise ValueError(
                f"{dataset.name}: split {self.split} must give at least one test user who is also "
                "in the training part, got none"
            )
        self.epoch_validation = self.validation.some(validation_users)

    def histories(self) -> Iterator[Histories]:
        """Yield the training histories, in one block."""
        yield self.train

    def measure(self, model: nn.Module, part: str) -> tuple[dict[str, float], pa.Table]:
        return self.summary(self.evaluation(model, part), part)

    def evaluation(self, model: nn.Module, part: str) -> Evaluation:
        """Return recommendations of ``model`` to the users of ``"validation"`` or ``"test"``."""
        assert isinstance(model, Recommender)
        return self.evaluated(model, getattr(self, part))

    def evaluated(self, model: Recommender, examples: Examples) -> Evaluation:
        """Return recommendations of ``model`` after the histories of ``examples``."""
        exclude_seen = self.dataset.repeats == "drop"
        return evaluate(model, examples, self.num_items, exclude_seen=exclude_seen)

    def summary(self, evaluation: Evaluation, part: str) -> tuple[dict[str, float], pa.Table]:
        """Return the metrics and predictions of :meth:`measure` from :meth:`evaluation`."""
        import pyarrow as pa

        examples: Examples = getattr(self, part)
        users = self.dataset.user_vocabulary.ids[examples.users]
        return evaluation.metrics, pa.table({"user": users, "rank": array(evaluation.ranks)})


def own_examples(examples: Examples) -> Examples:
    """Return this worker's share of examples."""
    if not workers.several():
        return examples
    return examples.take(workers.share().of(np.arange(len(examples.users))))
