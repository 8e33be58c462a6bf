"""What the trainer asks of a task: batches, a loss, a validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Pass:
    """One pass over the training part.

    Attributes:
        batches: those that are left of it, in order. Making them draws nothing from torch's global
            generator.
        examples: of the whole pass; None where nobody counted them.
        batch: examples a step.
        torch_seed: of what the model draws (dropout) during the pass.
    """

    batches: Iterator[Any]
    examples: int | None
    batch: int
    torch_seed: int

    def share(self, step: int) -> float:
        """How much of the pass is done before ``step``, from 0 to 1; 0 where nobody knows."""
        return min(1.0, step * self.batch / self.examples) if self.examples else 0.0


class Task(Protocol):
    """What a model is trained for. A batch is whatever the task's own ``loss`` reads."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that :meth:`evaluate` gives."""
        ...

    def start(self, seed: int, epoch: int, skip: int) -> Pass:
        """Pass ``epoch`` from its batch ``skip`` on.

        The pass is a function of ``seed`` and ``epoch``, and ``skip`` leaves batches out without
        changing those that follow: a resumed run sees what an undisturbed one would have.
        """
        ...

    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor | int]:
        """The mean loss of a batch, and over how many targets."""
        ...

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Metrics on the validation part; ``model`` is in evaluation mode."""
        ...
