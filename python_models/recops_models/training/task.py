"""Training tasks: batches, a loss and an evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from torch import Tensor, nn

if TYPE_CHECKING:
    import pyarrow as pa

    from recops_models.data.dataset import Dataset

ModelT = TypeVar("ModelT", bound=nn.Module)
BatchT = TypeVar("BatchT")
"""A batch; its type is the task's own."""


class Task(ABC, Generic[ModelT, BatchT]):
    """Training batches, a loss and a validation; what the trainer needs to know."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that :meth:`evaluate` returns."""

    @abstractmethod
    def start_epoch(
        self, model: ModelT, size: int, *, seed: int, epoch: int, skip: int
    ) -> tuple[int, Iterator[tuple[float, BatchT]]]:
        """Return a seed for torch, and the batches of an epoch from number ``skip`` on.

        An epoch is a function of ``size``, ``seed`` and ``epoch``. A larger ``skip`` leaves the
        remaining batches as they are, so a resumed training sees those of an uninterrupted one.
        Iterating draws nothing from torch's global generator.

        With several workers, each has its :func:`share <recops_models.workers.share>` of every
        batch. All workers have the same number of batches; a share may be empty.

        Args:
            model: the model to train.
            size: examples per batch, on average.
            seed: seed of the training.
            epoch: counted from 0.
            skip: number of batches that are done.

        Returns:
            The seed of the model's own draws, such as dropout, and pairs of a batch and the share
            of the epoch before it, from 0 to 1; see :func:`with_shares`.
        """

    @abstractmethod
    def loss(self, model: ModelT, batch: BatchT) -> tuple[Tensor, Tensor | int]:
        """Return the mean loss of a batch, and the number of targets it is the mean of.

        With several workers, return this worker's share of the mean over the batch of all workers
        (:func:`recops_models.workers.share_of_mean`), and its own number of targets.
        """

    @abstractmethod
    def evaluate(self, model: ModelT) -> dict[str, float]:
        """Return metrics on the validation part for a model in evaluation mode.

        With several workers, each evaluates its share, and all return the same metrics.
        """

    def clipped(self, model: ModelT) -> Sequence[nn.Module]:
        """Return the modules whose gradients are clipped, each by its own norm."""
        return [model]


class RecommenderTask(Task[ModelT, BatchT]):
    """Task on the parts of one data set, which also tests a model.

    Attributes:
        name: name of the data set.
        split: how it is split.
        notes: remarks on the data for reports.
        dataset: its users and items; None: there is no catalogue.
    """

    name: str
    split: str
    notes: tuple[str, ...] = ()
    dataset: Dataset | None = None

    @abstractmethod
    def measure(self, model: nn.Module, part: str) -> tuple[dict[str, float], pa.Table]:
        """Evaluate ``model`` on ``"validation"`` or ``"test"``.

        Returns:
            Metrics by name, NaN if undefined, and the predictions, one row per example.
        """


AnyTask: TypeAlias = RecommenderTask[Any, Any]


def with_shares(
    batches: Iterable[BatchT], skip: int, size: int, examples: int | None
) -> Iterator[tuple[float, BatchT]]:
    """Pair each batch with the share of the epoch that is done before it.

    Args:
        batches: the batches from number ``skip`` on.
        skip: number of batches that are done.
        size: examples per batch, on average.
        examples: examples per epoch; None: unknown, all shares are 0.
    """
    for number, batch in enumerate(batches, skip):
        yield (min(1.0, number * size / examples) if examples else 0.0), batch
