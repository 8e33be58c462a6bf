"""Look-ups of a model's FeatureEmbedding by nn.Embedding: separate rows, then concatenated."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from recops_models.examples.batch import Batch
from recops_models.layers.feature_embedding import FeatureEmbedding


def context(embedding: FeatureEmbedding, batch: Batch) -> Tensor:
    """Return the rows of the context ``[B, context_dim]``; it has only categorical features."""
    return _rows(embedding, batch, [feature.name for feature in embedding._context])


def query(embedding: FeatureEmbedding, batch: Batch) -> Tensor:
    """Return the rows of the candidates ``[B, d]``."""
    return _rows(embedding, batch, embedding.separate_histories[0].targets)


def keys(embedding: FeatureEmbedding, batch: Batch) -> Tensor:
    """Return the rows of the events ``[B, T, d]``."""
    return _rows(embedding, batch, embedding.separate_histories[0].sequences)


def _rows(embedding: FeatureEmbedding, batch: Batch, names: Iterable[str]) -> Tensor:
    return torch.cat([embedding._table_of(name)(batch.features[name]) for name in names], -1)
