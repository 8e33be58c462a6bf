"""Several histories, each attended by itself."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from recops_models.examples.batch import Batch
from recops_models.layers.feature_embedding import FeatureEmbedding
from recops_models.layers.target_attention import TargetAttention


class HistoryAttention(nn.Module):
    """The columns of ``[B, history_dim]``: what of each history matters to the candidate.

    Args:
        embedding: tells the histories; the same one comes with each batch.
        attention: a new attention to events of a width.
    """

    def __init__(
        self, embedding: FeatureEmbedding, attention: Callable[[int], TargetAttention]
    ) -> None:
        super().__init__()
        self.each = nn.ModuleList(attention(history.dim) for history in embedding.apart)

    def forward(self, embedding: FeatureEmbedding, batch: Batch) -> list[Tensor]:
        """``[B, d]`` of each history."""
        return [
            attention(
                embedding.query(batch, history),  # (B, d)
                embedding.keys(batch, history),  # (B, T, d)
                embedding.lengths(batch, history),
            )
            for history, attention in zip(embedding.apart, self.each, strict=True)
        ]
