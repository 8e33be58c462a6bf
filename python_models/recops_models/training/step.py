"""Training step as a module, which can be compiled, autocast, moved and replicated."""

from __future__ import annotations

from typing import Generic

from torch import Tensor, nn

from recops_models.training.task import BatchT, ModelT, Task


class Step(nn.Module, Generic[ModelT, BatchT]):
    """``batch ↦ (loss, targets)``: the loss of a model on a batch of its task.

    Args:
        model: the model to train.
        task: its task.
    """

    def __init__(self, model: ModelT, task: Task[ModelT, BatchT]) -> None:
        super().__init__()
        self.model = model
        self._task = task

    def forward(self, batch: BatchT) -> tuple[Tensor, Tensor | int]:
        """Return the mean loss of a batch, and the number of targets it is the mean of."""
        return self._task.loss(self.model, batch)
