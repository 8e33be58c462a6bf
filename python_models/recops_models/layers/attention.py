"""Multi-head attention over a history, and a causal transformer block."""

# Histories are padded on the right, so the causal mask also hides padding from every event.

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.layers.dropout import Dropout


class Attention(nn.Module):
    """Multi-head attention of queries ``[B, Q, d]`` to the keys and values of a sequence.

    Example:
        >>> import torch
        >>> from recops_models.layers.attention import Attention
        >>> attention = Attention(width=8, heads=2)
        >>> queries, sequence = torch.randn(3, 1, 8), torch.randn(3, 5, 8)
        >>> seen = torch.ones(1, 5, dtype=torch.bool)
        >>> attention(queries, attention.keys_values(sequence), seen).shape
        torch.Size([3, 1, 8])
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        out: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return out  # (B, heads, T, d / heads)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values ``[B, heads, T, d / heads]`` of a sequence ``[B, T, d]``."""
        keys, values = self.key_value(x).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def forward(
        self, x: Tensor, keys_values: tuple[Tensor, Tensor], seen: Tensor | None = None
    ) -> Tensor:
        """Return ``[B, Q, d]``.

        Args:
            x: the queries ``[B, Q, d]``.
            keys_values: result of :meth:`keys_values`.
            seen: bool ``[.., Q, T]``, the keys that each query may attend to; None: a causal mask.
        """
        mixed = F.scaled_dot_product_attention(
            self._split(self.query(x)), *keys_values, attn_mask=seen, is_causal=seen is None
        )
        out: Tensor = self.output(mixed.transpose(1, 2).flatten(-2))
        return out


class CausalBlock(nn.Module):
    """Pre-norm transformer block: causal self-attention, then a GELU MLP of hidden width 4d.

    Example:
        >>> import torch
        >>> from recops_models.layers.attention import CausalBlock
        >>> block = CausalBlock(width=8, heads=2, dropout=0.1)
        >>> block(torch.randn(3, 5, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.attention_norm(x)
        x = x + self.dropout(self.attention(normed, self.attention.keys_values(normed)))
        out: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return out  # (B, T, d)
