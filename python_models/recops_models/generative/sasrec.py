"""SASRec: self-attention over the history, the next item by a softmax over the whole catalogue.

Kang and McAuley, Self-Attentive Sequential Recommendation, 2018, with the full softmax in place of
its one sampled negative (Klenitskiy and Vasilev, 2023), which is what makes it the baseline to
beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.generative.ranker import Ranker, Ranking, check_lengths, top_unseen
from recops_models.layers.attention import CausalBlock
from recops_models.layers.dropout import Dropout
from recops_models.layers.padded_rows import draw_rows
from recops_models.setting_checks import check_at_least, check_heads, check_shares


@dataclass(frozen=True)
class SASRecConfig:
    """Sizes.

    Attributes:
        history: T, the most recent events that are read.
        width: d.
        heads: of the attention; divides ``width``.
        layers: transformer blocks.
        dropout: on the embeddings and within the blocks.

    Raises:
        ValueError: a size that is too small, heads that do not divide the width, a dropout outside
            [0, 1).
    """

    history: int = 50
    width: int = 64
    heads: int = 2
    layers: int = 1
    dropout: float = 0.4

    def __post_init__(self) -> None:
        check_at_least("sasrec", self, history=1, width=1, heads=1, layers=1)
        check_shares("sasrec", self, "dropout")
        check_heads("sasrec", self.width, self.heads)


class SASRec(Ranker):
    """``logits_t = E h_t + b``, ``h`` a causal transformer over ``√d · E[history] + P``; E is
    shared.

    Args:
        num_items: N.
        config: sizes.
    """

    def __init__(self, num_items: int, config: SASRecConfig) -> None:
        super().__init__()
        self.num_items, self.config = num_items, config
        self.item = nn.Embedding(1 + num_items, config.width, padding_idx=0)
        self.place = nn.Parameter(torch.empty(config.history, config.width))
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            CausalBlock(config.width, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.item_bias = nn.Parameter(torch.zeros(num_items))
        draw_rows(self.item, 0.02)
        nn.init.normal_(self.place, std=0.02)

    @property
    def window(self) -> int:
        """T."""
        return self.config.history

    def encode(self, history: Tensor) -> Tensor:
        """``[B, T, d]``, the state after each event of ``history [B, T]``, 1-based, padded
        right.
        """
        events = self.item(history) * self.config.width**0.5  # (B, T, d)
        x = self.dropout(events + self.place[: history.shape[1]])
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def logits(self, state: Tensor) -> Tensor:
        """``[..., N]`` from ``[..., d]``."""
        return F.linear(state, self.item.weight[1:], self.item_bias)

    def loss(self, history: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy of the next items."""
        there = target > 0
        return F.cross_entropy(self.logits(self.encode(history)[there]), target[there] - 1)

    def score_all(self, history: Tensor, lengths: Tensor) -> Tensor:
        """``[B, N]``: the logits after each history; see :meth:`Ranker.decode`."""
        last = (lengths[:, None, None] - 1).expand(-1, -1, self.config.width)
        return self.logits(self.encode(history).gather(1, last).squeeze(1))

    def decode(
        self, history: Tensor, lengths: Tensor, k: int, met: Sequence[Tensor] | None = None
    ) -> Ranking:
        """The ``k`` best items; scores are logits."""
        check_lengths("SASRec", lengths)
        return top_unseen(self.score_all(history, lengths), met, k)
