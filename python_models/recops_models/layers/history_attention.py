"""Target attention over several histories."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from recops_models.examples.batch import Batch
from recops_models.layers.feature_embedding import FeatureEmbedding
from recops_models.layers.target_attention import TargetAttention


class HistoryAttention(nn.Module):
    """Interests ``[B, d]`` of every history, each by a separate attention.

    Args:
        embedding: its histories are attended to; :meth:`forward` takes the same one.
        attention: returns a new attention over events of a given width.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.feature_embedding import FeatureEmbedding
        >>> from recops_models.layers.history_attention import HistoryAttention
        >>> from recops_models.layers.target_attention import TargetAttention
        >>> schema, batch = tiny_click_data()
        >>> embedding = FeatureEmbedding(schema, width=4)
        >>> attention = HistoryAttention(embedding, TargetAttention)
        >>> [interest.shape for interest in attention(embedding, batch)]
        [torch.Size([3, 8])]
    """

    def __init__(
        self, embedding: FeatureEmbedding, attention: Callable[[int], TargetAttention]
    ) -> None:
        super().__init__()
        self.each = nn.ModuleList(
            attention(history.dim) for history in embedding.separate_histories
        )

    def forward(self, embedding: FeatureEmbedding, batch: Batch) -> list[Tensor]:
        """Return ``[B, d]`` per history; together they have ``embedding.history_dim`` columns."""
        return [
            attention(
                embedding.query(batch, history),  # (B, d)
                embedding.keys(batch, history),  # (B, T, d)
                embedding.lengths(batch, history),
            )
            for history, attention in zip(embedding.separate_histories, self.each, strict=True)
        ]
