"""What UniRec makes of a history before anything is asked: one memory a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recops_models.generative.unirec.config import UniRecConfig
from recops_models.layers.attention import CausalBlock
from recops_models.layers.dropout import Dropout
from recops_models.layers.rms_norm import RMSNorm


class Read(NamedTuple):
    """A history as the decoder meets it; row t of ``[B, T, …]`` knows the events up to t."""

    events: Tensor
    """H_seq ``[B, T, d]``."""
    content: Tensor
    """H_mm ``[B, T, d]``."""
    state: Tensor
    """``[B, T, d]``, H_seq before its norm."""
    aggregate: Tensor
    """h_agg ``[B, T, 2d]``, the fields of users beside it where there are any."""


class HistoryEncoder(nn.Module):
    """H_seq, H_mm and h_agg of a history (UniRec §6).

    ``h_i = Linear(RMSNorm([e_item ⊕ e_attributes])) + place``, or with ``events="sum"`` [I]
    ``√d · e_item + Σ e_attribute + place``, then ``history_layers`` causal blocks; ``h_mm =
    RMSNorm(Linear([e_code ⊕ …]))``. Place embeddings and causal blocks are [I].
    The pooling behind ``h_agg = RMSNorm([h_static ⊕ Pool(H)])`` is, [I], the latest event beside
    the mean of all, of each both its rows in one sum.

    Args:
        codes: how many codes an item has.
        static: the width of the static fields beside the history, 0 for none.
        config: sizes.
    """

    def __init__(self, codes: int, static: int, config: UniRecConfig) -> None:
        super().__init__()
        d, m = config.width, config.num_attributes
        self.attributes = m
        self.place = nn.Parameter(torch.empty(config.history, d))
        self.event = None
        if config.events == "concat":
            self.event = nn.Sequential(RMSNorm((1 + m) * d), nn.Linear((1 + m) * d, d))
        self.blocks = nn.ModuleList(
            CausalBlock(d, config.heads, config.dropout) for _ in range(config.history_layers)
        )
        self.norm = RMSNorm(d)
        self.content = nn.Sequential(nn.Linear(codes * d, d), RMSNorm(d))
        self.aggregate_norm = RMSNorm(2 * d + static)
        self.dropout = Dropout(config.dropout)
        nn.init.normal_(self.place, std=event_std(config))

    def forward(self, item: Tensor, tokens: Sequence[Tensor], static: Tensor | None) -> Read:
        """Read embedded events.

        Args:
            item: ``[B, T, d]``, e_item.
            tokens: of each event's path, ``[B, T, d]`` each, attributes first.
            static: ``[B, static]``, of the request; None where there are no such fields.
        """
        width, m = item.shape[1], self.attributes
        state = self.dropout(self._events(item, tokens[:m]) + self.place[:width])
        for block in self.blocks:
            state = block(state)
        events = self.norm(state)
        content = self.dropout(self.content(torch.cat(list(tokens[m:]), -1)))
        count = torch.arange(1, width + 1, device=item.device)[:, None]
        pooled = [events, (events + content).cumsum(1) / count]
        if static is not None:
            pooled.append(static[:, None].expand(-1, width, -1))
        return Read(events, content, state, self.aggregate_norm(torch.cat(pooled, -1)))

    def _events(self, item: Tensor, attributes: Sequence[Tensor]) -> Tensor:
        if self.event is None:
            return torch.stack([item * item.shape[-1] ** 0.5, *attributes]).sum(0)
        out: Tensor = self.event(torch.cat([item, *attributes], -1))
        return out


def event_std(config: UniRecConfig) -> float:
    """How far item and place embeddings begin from 0: SASRec's .02 where events are sums, since
    those raise items by √d.
    """
    return 0.02 if config.events == "sum" else config.width**-0.5
