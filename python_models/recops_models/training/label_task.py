"""Training and evaluation of click models that predict several labels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from recops_models import workers
from recops_models.click.model import ClickModel
from recops_models.data.dataset import Dataset
from recops_models.data.splits import SplitName
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.evaluation.label_evaluation import LABEL_METRICS, LabelEvaluation
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData
from recops_models.examples.features import FittedSchema
from recops_models.examples.loader import Source
from recops_models.training.click_task import EVALUATION_BATCH, ClickTask
from recops_models.training.device import device_of, to_device, to_host
from recops_models.training.example_config import ExampleConfig


class LabelTask(ClickTask):
    """Prediction of clicks and of the data's further labels, all on all examples.

    Args:
        data: see :class:`~recops_models.training.click_task.ExampleTask`.
        examples: see there.
        split: see there.
        fitted: see there.

    Raises:
        ValueError: the data has no label in addition to clicks; and see there.
    """

    def __init__(
        self,
        data: Dataset | ClickData,
        examples: ExampleConfig,
        split: SplitName | None = None,
        fitted: FittedSchema | None = None,
    ) -> None:
        super().__init__(data, examples, split, fitted)
        if not self.data.labels:
            hint = "name them under `labels` in schema.yaml"
            if self.dataset is None:
                hint = "examples in Parquet have one label, so train on a data set with heads"
            raise ValueError(f"{self.name}: heads needs labels in addition to clicks: {hint}")

    @property
    def metrics(self) -> tuple[str, ...]:
        further = (f"{metric}_{label}" for label in self.data.labels for metric in LABEL_METRICS)
        return (*CLICK_METRICS, *further)

    def evaluate(self, model: ClickModel) -> dict[str, float]:
        return self.evaluation(model, "validation").metrics

    def evaluation(self, model: nn.Module, part: str) -> LabelEvaluation:
        """See :meth:`ExampleTask.evaluation`."""
        assert isinstance(model, ClickModel)
        predictions = _predictions(model, getattr(self.data, part))
        return LabelEvaluation.of_labels(predictions, self.data.fitted.schema, self.data.labels)


@torch.no_grad()
def _predictions(model: ClickModel, source: Source) -> Iterator[tuple[Tensor, Batch]]:
    """Return logits ``[B, labels]`` of this worker's examples in order, with their batches."""
    device = device_of(model)
    for batch in source.batches(EVALUATION_BATCH, seed=None, share=workers.share()):
        yield to_host(model.label_logits(model.bottom(to_device(batch, device))[0])), batch
