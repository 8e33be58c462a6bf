"""The task of click models: will this user click on this item, now?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recops_models.click.loss import training_loss
from recops_models.click.model import ClickModel
from recops_models.evaluation.click_metrics import CLICK_METRICS, ClickMetrics
from recops_models.examples.batch import Batch
from recops_models.examples.known import known_candidates
from recops_models.examples.loader import Source
from recops_models.training.task import ModelT, Pass, Task

_EVALUATION_BATCH = 1024


@dataclass(frozen=True, eq=False)
class ExampleTask(Task[ModelT, Batch]):
    """Batches of examples; validation by AUC and its kin.

    Attributes:
        train: the training examples.
        validation: those that choose the epoch.
        batch: examples a step.
    """

    train: Source
    validation: Source
    batch: int

    @property
    def metrics(self) -> tuple[str, ...]:
        return CLICK_METRICS

    def start(self, seed: int, epoch: int, skip: int) -> Pass[Batch]:
        batches = self.train.batches(self.batch, seed=seed, epoch=epoch, skip=skip)
        torch_seed = int(np.random.default_rng((seed, epoch)).integers(2**63))
        return Pass(batches, self.train.num_examples, self.batch, torch_seed)

    def validated(self, model: ClickModel) -> dict[str, float]:
        """The metrics of a model on the validation part."""
        metrics = ClickMetrics()
        for logits, batch in predictions(model, self.validation):
            known = known_candidates(model.schema.schema, batch)
            metrics.update(logits, batch.label, batch.group, known)
        return metrics.compute()


class ClickTask(ExampleTask[ClickModel]):
    """The cross-entropy of a click model, and the loss that it has of its own."""

    def loss(self, model: ClickModel, batch: Batch) -> tuple[Tensor, int]:
        return training_loss(model, batch), len(batch.label)

    def evaluate(self, model: ClickModel) -> dict[str, float]:
        return self.validated(model)


@torch.no_grad()
def predictions(model: nn.Module, source: Source) -> Iterator[tuple[Tensor, Batch]]:
    """Logits ``[B]`` of all examples in order, beside their batches."""
    for batch in source.batches(_EVALUATION_BATCH, seed=None):
        yield model(batch), batch
