"""Training and evaluation of click models on examples of (user, item, history, click)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from recops_models import workers
from recops_models.click.loss import training_loss
from recops_models.click.model import ClickModel, ClickScorer
from recops_models.data.dataset import Dataset
from recops_models.data.splits import SplitName
from recops_models.evaluation.click_evaluation import ClickEvaluation
from recops_models.evaluation.click_metrics import CLICK_METRICS, ClickMetrics
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.features import FittedSchema
from recops_models.examples.known import known_candidates
from recops_models.examples.loader import Source
from recops_models.training.device import device_of, to_device, to_host
from recops_models.training.example_config import ExampleConfig
from recops_models.training.task import ModelT, RecommenderTask, with_shares

if TYPE_CHECKING:
    import pyarrow as pa

EVALUATION_BATCH = 1024
"""Examples per batch of an evaluation."""


class ExampleTask(RecommenderTask[ModelT, Batch]):
    """Click prediction; a module from a batch to logits ``[B]`` can be measured.

    Args:
        data: a data set, or examples.
        examples: how examples are built from a data set.
        split: how a data set is split; None: by time if events have timestamps, else the last
            events of each user are held out.
        fitted: vocabularies to use instead of new ones.

    Raises:
        ValueError: ``split`` is given with examples, which are split already.
        DataError: the data set gives no examples.
    """

    def __init__(
        self,
        data: Dataset | ClickData,
        examples: ExampleConfig,
        split: SplitName | None = None,
        fitted: FittedSchema | None = None,
    ) -> None:
        self.dataset, self.examples = None, examples
        if isinstance(data, Dataset):
            self.dataset = data
            data = click_data(data, split, fitted=fitted, **dataclasses.asdict(examples))
        elif split is not None:
            raise ValueError(f"{data.name} is already split: leave out the split {split}")
        self._data, self.name, self.split, self.notes = data, data.name, data.split, data.notes

    @property
    def data(self) -> ClickData:
        """The examples."""
        return self._data

    @property
    def metrics(self) -> tuple[str, ...]:
        return CLICK_METRICS

    def training_part(self, epoch: int) -> Source:
        """Return the training examples of an epoch: all of them, by default."""
        return self.data.train

    def start_epoch(
        self, model: ModelT, size: int, *, seed: int, epoch: int, skip: int
    ) -> tuple[int, Iterator[tuple[float, Batch]]]:
        train = self.training_part(epoch)
        batches = train.batches(size, seed=seed, epoch=epoch, skip=skip, share=workers.share())
        torch_seed = int(np.random.default_rng((seed, epoch)).integers(2**63))
        return torch_seed, with_shares(batches, skip, size, train.num_examples)

    def validated(self, model: ClickScorer) -> dict[str, float]:
        """Return the metrics of a model on the validation part."""
        metrics = ClickMetrics()
        for logits, batch in predictions(model, self.data.validation):
            known = known_candidates(model.schema.schema, batch)
            metrics.update(logits, batch.label, batch.group, known)
        return metrics.compute()

    def measure(self, model: nn.Module, part: str) -> tuple[dict[str, float], pa.Table]:
        return self.summary(self.evaluation(model, part), part)

    def evaluation(self, model: nn.Module, part: str) -> ClickEvaluation:
        """Return predictions of ``model`` for the examples of ``"validation"`` or ``"test"``."""
        schema = self.data.fitted.schema
        return ClickEvaluation.of(predictions(model, getattr(self.data, part)), schema)

    def summary(self, evaluation: ClickEvaluation, part: str) -> tuple[dict[str, float], pa.Table]:
        """Return the metrics and predictions of :meth:`measure` from :meth:`evaluation`."""
        return evaluation.metrics, evaluation.table()


class ClickTask(ExampleTask[ClickModel]):
    """Training of one click model by cross-entropy, plus the model's auxiliary loss."""

    def loss(self, model: ClickModel, batch: Batch) -> tuple[Tensor, int]:
        return training_loss(model, batch), len(batch.label)

    def evaluate(self, model: ClickModel) -> dict[str, float]:
        return self.validated(model)


@torch.no_grad()
def predictions(model: nn.Module, source: Source) -> Iterator[tuple[Tensor, Batch]]:
    """Return logits ``[B]`` of this worker's examples in order, with their batches, on the host."""
    device = device_of(model)
    for batch in source.batches(EVALUATION_BATCH, seed=None, share=workers.share()):
        yield to_host(model(to_device(batch, device))), batch
