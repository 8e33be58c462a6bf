"""Which item comes next, after all that the user met in the parts before?"""

from __future__ import annotations

import numpy as np

from recops_models.data.dataset import Dataset
from recops_models.data.histories import Histories
from recops_models.data.splits import Examples, SplitName, named_split
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.ranker import Ranking, Recommender
from recops_models.training.problem import Measured, Problem


class RankingProblem(Problem[Recommender]):
    """Every item of the catalogue competes; those that a user has met are left out.

    Args:
        dataset: the data.
        split: how it is cut, if not as usual.
        validation_users: at most so many choose the best epoch; None: all.

    Attributes:
        asked_each_epoch: those questions of the validation part that choose it.

    Raises:
        ValueError: no user has three events, or test asks about none.
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
        self.validation = self._examples("validation")
        self.num_items = dataset.items.num_rows
        if not len(self.validation.users):
            raise ValueError(
                f"{dataset.name}: no user has three events, so nothing can be held out"
            )
        if not len(self._examples("test").users):
            raise ValueError(
                f"{dataset.name}: test must ask about a user whom training knows, got none by "
                f"split {self.split}"
            )
        self.asked_each_epoch = self.validation.some(validation_users)

    def measure(self, model: Recommender, part: str) -> Measured:
        import pyarrow as pa

        examples = self.validation if part == "validation" else self._examples(part)
        found = evaluate(model, examples, self.num_items)
        users = self.dataset.user_vocabulary.ids[examples.users]
        return Measured(found.metrics, pa.table({"user": users, "rank": found.ranks.numpy()}))

    def _examples(self, part: str) -> Examples:
        return self.parts.examples(part).next_events()

    def recommend(self, model: Recommender, user: int, k: int) -> Ranking:
        return model.recommend(met(self.dataset, user), k)


def met(dataset: Dataset, user: int) -> Histories:
    """Everything that one user (an index) met.

    Raises:
        ValueError: that is nothing.
    """
    histories = Histories.of(
        dataset.interactions, dataset.user_vocabulary, dataset.item_vocabulary
    ).take(np.array([user]))
    if not histories.lengths[0]:
        raise nothing_met(dataset, user)
    return histories


def nothing_met(dataset: Dataset, user: int) -> ValueError:
    """What is to be raised for a user (an index) without events."""
    name = dataset.user_keys[user]
    return ValueError(f"user {name} has met nothing yet: there is nothing to go by")
