"""What a model's FeatureEmbedding looks up, by nn.Embedding: each row written out, then joined."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from recops_models.examples.batch import Batch
from recops_models.layers.feature_embedding import FeatureEmbedding


def context(embedding: FeatureEmbedding, batch: Batch) -> Tensor:
    """``[B, context_dim]``, of categoricals alone."""
    return _rows(embedding, batch, [feature.name for feature in embedding._context])


def query(embedding: FeatureEmbedding, batch: Batch) -> Tensor:
    """``[B, d]``: the candidate."""
    return _rows(embedding, batch, embedding.apart[0].targets)


def keys(embedding: FeatureEmbedding, batch: Batch) -> Tensor:
    """``[B, T, d]``: the events."""
    return _rows(embedding, batch, embedding.apart[0].sequences)


def _rows(embedding: FeatureEmbedding, batch: Batch, names: Iterable[str]) -> Tensor:
    return torch.cat([embedding._table_of(name)(batch.features[name]) for name in names], -1)
