"""The events of a split as click examples look at them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array
from recops_models.data.splits import Split
from recops_models.examples.feedback import LIKED, Feedback, classes_of, label_rule
from recops_models.examples.running_rates import RunningRates

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Events:
    """Context and all parts, one after the other, which keeps every user's own order.

    Attributes:
        dataset: whose they are.
        user: ``[E]`` i64, indices of its users.
        item: ``[E]`` i64, indices of its items.
        said: ``[E]`` i64, disliked, neutral or liked.
        place: ``[E]`` i64, where each stands in the order of time.
        bounds: ``[4]`` i64: part ``i`` is ``[bounds[i], bounds[i + 1])``.
        rule: which are liked, in words.
    """

    dataset: Dataset
    user: Int64Array
    item: Int64Array
    said: Int64Array
    place: Int64Array
    bounds: Int64Array
    rule: str

    @classmethod
    def of(cls, split: Split, feedback: Feedback, positive: float) -> Events:
        """Those of a split.

        Raises:
            DataError: a part is empty, or see :func:`~recops_models.examples.feedback.classes_of`.
        """
        dataset = split.dataset
        tables = [getattr(split, part) for part in ("context", *PARTS)]
        for part, table in zip(PARTS, tables[1:], strict=True):
            if not table.num_rows:
                raise DataError(f"{dataset.name}: the {part} part is empty")
        events = pa.concat_tables(tables)
        place = np.empty(events.num_rows, dtype=np.int64)
        order = np.argsort(events["timestamp"].to_numpy(), kind="stable")
        place[order] = np.arange(len(order))
        return cls(
            dataset,
            dataset.user_vocabulary.index(events["user_id"].to_numpy()),
            dataset.item_vocabulary.index(events["item_id"].to_numpy()),
            classes_of(events, feedback, positive, name=dataset.name),
            place,
            np.cumsum([table.num_rows for table in tables]),
            label_rule(events, feedback, positive, name=dataset.name),
        )

    @property
    def liked(self) -> NDArray[np.bool_]:
        """``[E]``: which are positive."""
        liked: NDArray[np.bool_] = self.said == LIKED
        return liked

    @cached_property
    def running_rates(self) -> RunningRates:
        """Of the users and items of all events."""
        order = np.argsort(self.place)
        return RunningRates(self.user[order], self.item[order], self.liked[order])

    def part(self, index: int) -> Int64Array:
        """The rows of one part."""
        return np.arange(self.bounds[index], self.bounds[index + 1])

    def histories(self, rows: Int64Array) -> Histories:
        """Every user's events among ``rows``, in the order of time."""
        order = rows[np.lexsort((self.place[rows], self.user[rows]))]
        counts = np.bincount(self.user[rows], minlength=self.dataset.users.num_rows)
        return Histories(np.concatenate([[0], np.cumsum(counts)]), self.item[order], order)
