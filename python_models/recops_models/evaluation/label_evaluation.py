"""Predictions of a click model with several labels on the examples of one part."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recops_models.evaluation.click_evaluation import ClickEvaluation
from recops_models.examples.batch import Batch, task_feature
from recops_models.examples.features import FeatureSchema

if TYPE_CHECKING:
    import pyarrow as pa

LABEL_METRICS = ("auc", "gauc", "logloss")
"""Metrics of every label except clicks; ``auc_purchase`` is that of the label ``purchase``."""


@dataclass(frozen=True, eq=False)
class LabelEvaluation(ClickEvaluation):
    """Predictions of clicks and of further labels.

    Attributes:
        further: predictions of each further label, by name.
    """

    further: Mapping[str, ClickEvaluation] = field(default_factory=dict)

    @classmethod
    def of_labels(
        cls,
        predictions: Iterable[tuple[Tensor, Batch]],
        schema: FeatureSchema,
        labels: Sequence[str],
    ) -> LabelEvaluation:
        """Collect the logits ``[B, 1 + labels]`` and the batches of one part.

        Args:
            predictions: logits of each batch, clicks first, with the batch.
            schema: the features of the batches.
            labels: names of the further labels.
        """
        columns: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {label: [] for label in labels}

        def clicks() -> Iterator[tuple[Tensor, Batch]]:
            for logits, batch in predictions:
                for index, label in enumerate(labels, 1):
                    column, target = logits[:, index], batch.features[task_feature(label)]
                    columns[label].append((column, column.float().sigmoid(), target))
                yield logits[:, 0], batch

        evaluation = ClickEvaluation.of(clicks(), schema)
        further = {}
        for label, parts in columns.items():
            logits, probability, target = map(torch.cat, zip(*parts, strict=True))
            further[label] = dataclasses.replace(
                evaluation, logits=logits, probability=probability, label=target
            )
        return cls(**vars(evaluation), further=further)

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of clicks, and :data:`LABEL_METRICS` of each further label."""
        metrics = super().metrics
        for label, evaluation in self.further.items():
            values = evaluation.metrics
            metrics |= {f"{name}_{label}": values[name] for name in LABEL_METRICS}
        return metrics

    def table(self) -> pa.Table:
        """Return the columns of clicks, and label and probability of each further label."""
        table = super().table()
        for label, evaluation in self.further.items():
            columns = evaluation.table()
            for name in ("label", "probability"):
                table = table.append_column(f"{name}_{label}", columns[name])
        return table
