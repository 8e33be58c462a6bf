"""The decoder: queries of a path cross a history that was read once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from recops_models.generative.unirec.config import UniRecConfig
from recops_models.layers.attention import Attention
from recops_models.layers.dropout import Dropout
from recops_models.layers.experts import ExpertMixture
from recops_models.layers.rms_norm import RMSNorm

KeysValues: TypeAlias = tuple[Tensor, Tensor]
"""Of ``H = [H_seq; H_mm]``, ``[B, heads, 2T, d / heads]`` each."""


class DecoderLayer(nn.Module):
    """``x += γ · MHA(RMSNorm(x), H)``, then ``x += experts(RMSNorm(x))``; queries stay apart.

    γ is learnt, from 1 [I]. Scores are divided by √(d / heads); the sources print √d.
    """

    def __init__(self, config: UniRecConfig) -> None:
        super().__init__()
        self.attention_norm, self.expert_norm = RMSNorm(config.width), RMSNorm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.gamma = nn.Parameter(torch.ones(()))
        self.experts = ExpertMixture(config.width, config.expert_hidden, config.experts)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, keys_values: KeysValues, seen: Tensor) -> Tensor:
        attended = self.attention(self.attention_norm(x), keys_values, seen)
        x = x + self.gamma * self.dropout(attended)
        out: Tensor = x + self.dropout(self.experts(self.expert_norm(x)))
        return out  # (B, Q, d)


class PathDecoder(nn.Module):
    """``config.layers`` decoder layers over one memory."""

    def __init__(self, config: UniRecConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))

    def keys_values(self, events: Tensor, content: Tensor) -> list[KeysValues]:
        """What each layer reads of H_seq and H_mm ``[B, T, d]``: once a request, for all beams."""
        memory = torch.cat([events, content], 1)  # (B, 2T, d)
        return [layer.attention.keys_values(memory) for layer in self._layers()]

    def forward(self, queries: Tensor, memory: Sequence[KeysValues], seen: Tensor) -> Tensor:
        """Queries ``[B, Q, d]``; ``seen [.., Q, T]``: the events that each knows."""
        both = torch.cat([seen, seen], -1)  # Of H_seq and of H_mm.
        for layer, keys_values in zip(self.layers, memory, strict=True):
            queries = layer(queries, keys_values, both)
        return queries

    def _layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]
