"""One training step as a module: what is compiled, autocast, moved and replicated."""

from __future__ import annotations

from typing import Generic

from torch import Tensor, nn

from recops_models.training.task import BatchT, ModelT, Task


class Step(nn.Module, Generic[ModelT, BatchT]):
    """``batch ↦ (loss, targets)``, the loss of a model in a task.

    Args:
        model: what learns.
        task: what for.
    """

    def __init__(self, model: ModelT, task: Task[ModelT, BatchT]) -> None:
        super().__init__()
        self.model = model
        self._task = task

    def forward(self, batch: BatchT) -> tuple[Tensor, Tensor | int]:
        """The mean loss of a batch, and over how many targets."""
        return self._task.loss(self.model, batch)
