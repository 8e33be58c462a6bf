"""What a family of models is asked, and how its answers are measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from torch import nn

from recops_models.generative.ranker import Ranking

if TYPE_CHECKING:
    import pyarrow as pa

    from recops_models.data.dataset import Dataset

ModelT = TypeVar("ModelT", bound=nn.Module)


class Measured(NamedTuple):
    """What a model reached on one part of the data.

    Attributes:
        metrics: by name; NaN where one is not defined.
        predictions: one row an example, for whoever wants to compare models example by example.
    """

    metrics: dict[str, float]
    predictions: pa.Table


class Problem(ABC, Generic[ModelT]):
    """Data, cut into train, validation and test, with one way of asking.

    Attributes:
        name: the data set's.
        split: how it was cut.
        notes: what a report should tell of the data.
        dataset: whose users and items :meth:`recommend` knows by index; None where there is none.
    """

    name: str
    split: str
    notes: tuple[str, ...] = ()
    dataset: Dataset | None = None

    @abstractmethod
    def measure(self, model: ModelT, part: str) -> Measured:
        """On ``"validation"`` or ``"test"``."""

    @abstractmethod
    def recommend(self, model: ModelT, user: int, k: int) -> Ranking:
        """The ``k`` best items that the user (an index of the data set) has not met: ``[1, k]``.

        Raises:
            ValueError: the user has met nothing, so that there is nothing to go by.
        """
