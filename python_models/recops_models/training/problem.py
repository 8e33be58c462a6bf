"""What a family of models is trained on and measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from torch import nn

from recops_models.training.task import Task

if TYPE_CHECKING:
    import pyarrow as pa

    from recops_models.generative.recommender import Ranking


class Measured(NamedTuple):
    """What a model reached on one part of the data.

    Attributes:
        metrics: by name; NaN where one is not defined.
        predictions: one row an example, for whoever wants to compare models example by example.
    """

    metrics: dict[str, float]
    predictions: pa.Table


class Problem(Protocol):
    """Data, cut into train, validation and test, with one way of asking.

    Attributes:
        name: the data set's.
        split: how it was cut.
        notes: what a report should tell of the data.
    """

    name: str
    split: str
    notes: tuple[str, ...]

    def task(self, batch: int, model: Any) -> Task:
        """Training, ``batch`` examples a step."""
        ...

    def measure(self, model: nn.Module, part: str) -> Measured:
        """On ``"validation"`` or ``"test"``."""
        ...

    def recommend(self, model: nn.Module, user: int, k: int) -> Ranking:
        """The ``k`` best items that the user (an index of the data set) has not met: ``[1, k]``.

        Raises:
            ValueError: the user has met nothing, so that there is nothing to go by.
        """
        ...
