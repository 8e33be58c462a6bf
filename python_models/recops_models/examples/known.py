"""Mask of examples whose candidate is in the training vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from recops_models.examples.batch import Batch
from recops_models.examples.features import FeatureSchema
from recops_models.examples.lookup import UNKNOWN


def known_candidates(schema: FeatureSchema, batch: Batch) -> Tensor:
    """Return whether each candidate ``[B]`` is in the vocabulary; all True without a candidate."""
    if schema.candidate is None:
        return torch.ones(len(batch.label), dtype=torch.bool)
    return batch.features[schema.candidate] > UNKNOWN
