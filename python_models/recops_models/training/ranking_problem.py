"""Which item comes next, after all that the user met in the parts before?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recops_models.data import Dataset, Examples, Histories, named_split
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.recommender import Ranking
from recops_models.training.next_item import NextItem
from recops_models.training.problem import Measured

if TYPE_CHECKING:
    from recops_models.training.job import Job


class RankingProblem:
    """Every item of the catalogue competes; those that a user has met are left out.

    Args:
        dataset: the data.
        job: says how to split, if not as usual.
        model: a trained one; nothing of it matters either.

    Raises:
        ValueError: no user has three events.
    """

    split: str
    notes: tuple[str, ...] = ()

    def __init__(self, dataset: Dataset, job: Job, model: Any = None) -> None:
        self.name, self.dataset = dataset.name, dataset
        self.split, self.parts = named_split(dataset, job.split)
        self.train = self.parts.histories()
        self.validation = self._examples("validation")
        self.num_items = dataset.items.num_rows
        if not len(self.validation.users):
            raise ValueError(
                f"{dataset.name}: no user has three events, so nothing can be held out"
            )

    def task(self, batch: int, model: Any) -> NextItem:
        return NextItem(self.train, self.validation, self.num_items, model.window, batch)

    def measure(self, model: Any, part: str) -> Measured:
        import pyarrow as pa

        examples = self.validation if part == "validation" else self._examples(part)
        found = evaluate(model, examples, self.num_items)
        users = self.dataset.user_vocabulary.ids[examples.users]
        return Measured(found.metrics, pa.table({"user": users, "rank": found.ranks.numpy()}))

    def _examples(self, part: str) -> Examples:
        return self.parts.examples(part).next_events()

    def recommend(self, model: Any, user: int, k: int) -> Ranking:
        found: Ranking = model.recommend(met(self.dataset, user), k)
        return found


def met(dataset: Dataset, user: int) -> Histories:
    """Everything that one user (an index) met.

    Raises:
        ValueError: that is nothing.
    """
    histories = Histories.of(
        dataset.interactions, dataset.user_vocabulary, dataset.item_vocabulary
    ).take(np.array([user]))
    if not histories.lengths[0]:
        name = dataset.user_vocabulary.ids[user]
        raise ValueError(f"user {name} has met nothing yet: there is nothing to go by")
    return histories
