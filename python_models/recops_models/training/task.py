"""What the trainer asks of a task: batches, a loss, a validation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

ModelT = TypeVar("ModelT", bound=nn.Module)
BatchT = TypeVar("BatchT")
"""A batch: whatever the task's own ``loss`` reads."""


@dataclass(frozen=True)
class Pass(Generic[BatchT]):
    """One pass over the training part.

    Attributes:
        batches: those that are left of it, in order. Making them draws nothing from torch's global
            generator.
        examples: of the whole pass; None where nobody counted them.
        batch: examples a step, on average.
        torch_seed: of what the model draws (dropout) during the pass.
    """

    batches: Iterator[BatchT]
    examples: int | None
    batch: int
    torch_seed: int

    def share(self, step: int) -> float:
        """How much of the pass is done before ``step``, from 0 to 1; 0 where nobody knows."""
        return min(1.0, step * self.batch / self.examples) if self.examples else 0.0


class Task(ABC, Generic[ModelT, BatchT]):
    """What a model is trained for."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """The names that :meth:`evaluate` gives."""

    @abstractmethod
    def start(self, seed: int, epoch: int, skip: int) -> Pass[BatchT]:
        """Pass ``epoch`` from its batch ``skip`` on.

        The pass is a function of ``seed`` and ``epoch``, and ``skip`` leaves batches out without
        changing those that follow: a resumed run sees what an undisturbed one would have.
        """

    @abstractmethod
    def loss(self, model: ModelT, batch: BatchT) -> tuple[Tensor, Tensor | int]:
        """The mean loss of a batch, and over how many targets."""

    @abstractmethod
    def evaluate(self, model: ModelT) -> dict[str, float]:
        """Metrics on the validation part; ``model`` is in evaluation mode."""

    def clipped(self, model: ModelT) -> Sequence[nn.Module]:
        """What has its gradient cut by its own norm: the model as one, unless a task says more."""
        return [model]
