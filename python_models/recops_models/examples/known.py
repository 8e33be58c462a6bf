"""Which examples show something that training knew."""

from __future__ import annotations

import torch
from torch import Tensor

from recops_models.examples.batch import Batch
from recops_models.examples.features import FeatureSchema
from recops_models.examples.lookup import UNKNOWN


def known_candidates(schema: FeatureSchema, batch: Batch) -> Tensor:
    """``[B]`` bool: whether the candidate has a row of its own; where the schema tells of no
    candidate, all are known.
    """
    if schema.candidate is None:
        return torch.ones(len(batch.label), dtype=torch.bool)
    return batch.features[schema.candidate] > UNKNOWN
