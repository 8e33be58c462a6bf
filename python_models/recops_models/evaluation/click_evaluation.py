"""Predictions of a click model on the examples of one part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.examples.batch import Batch
from recops_models.examples.features import FeatureSchema, Sequence
from recops_models.examples.known import known_candidates
from recops_models.training.device import array

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class ClickEvaluation:
    """N predictions with what the metrics need of their examples.

    Attributes:
        logits: ``[N]``.
        probability: ``[N]`` f32, predicted for label 1.
        label: ``[N]`` f32, 0 or 1.
        user: ``[N]`` i64.
        known: ``[N]`` bool, whether the candidate is in the training vocabulary.
        candidate: ``[N]`` i64, row of the candidate in its table; None: the schema has none.
        length: ``[N]`` i64, number of events in the first history of the candidate's table; None:
            the schema has no candidate.
    """

    logits: Tensor
    probability: Tensor
    label: Tensor
    user: Tensor
    known: Tensor
    candidate: Tensor | None = None
    length: Tensor | None = None

    @classmethod
    def of(
        cls, predictions: Iterable[tuple[Tensor, Batch]], schema: FeatureSchema
    ) -> ClickEvaluation:
        """Collect the logits ``[B]`` and the batches of one part.

        Args:
            predictions: logits of each batch, with the batch.
            schema: the features of the batches.
        """
        candidate = schema.candidate
        histories = [
            sequence.name
            for sequence in schema.of_type(Sequence)
            if candidate is not None and sequence.share_embedding == candidate
        ]
        rows = []
        for logits, batch in predictions:
            known = known_candidates(schema, batch)
            # Per batch, because the rounding may depend on the place of an element in its tensor.
            row = [logits, logits.float().sigmoid(), batch.label, batch.group, known]
            if candidate is not None:
                row += [batch.features[candidate], batch.lengths[histories[0]]]
            rows.append(row)
        return cls(*map(torch.cat, zip(*rows, strict=True)))

    @property
    def metrics(self) -> dict[str, float]:
        """Result of :meth:`~recops_models.evaluation.click_metrics.ClickMetrics.compute`."""
        metrics = ClickMetrics()
        metrics.update(self.logits, self.label, self.user, self.known)
        return metrics.compute()

    def table(self) -> pa.Table:
        """Return user, label, probability and known, one row per example."""
        import pyarrow as pa

        columns = {
            "user": self.user,
            "label": self.label,
            "probability": self.probability,
            "known": self.known,
        }
        return pa.table({name: array(column) for name, column in columns.items()})
