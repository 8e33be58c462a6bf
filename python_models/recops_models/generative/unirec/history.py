"""The encoder of UniRec: a history and a user's fields, encoded once per request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recops._host import reads_are_free
from recops_models.generative.unirec.config import UniRecConfig
from recops_models.layers.attention import CausalBlock
from recops_models.layers.dropout import Dropout
from recops_models.layers.padded_rows import draw_rows
from recops_models.layers.rms_norm import RMSNorm


class HistoryEncoding(NamedTuple):
    """Output of :class:`HistoryEncoder`; row t of each ``[B, T, …]`` depends on events up to t.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec import UniRec, UniRecConfig
        >>> config = UniRecConfig(num_attributes=0, history=4, width=8, heads=2)
        >>> model = UniRec(torch.tensor([[0, 0], [0, 1]]), (2, 2), torch.ones(2), config)
        >>> encoded = model.encode(torch.tensor([[1, 2, 0, 0]]))
        >>> encoded.events.shape, encoded.aggregate.shape
        (torch.Size([1, 4, 8]), torch.Size([1, 4, 16]))
    """

    events: Tensor
    """H_seq ``[B, T, d]``."""
    content: Tensor
    """H_mm ``[B, T, d]``, from the codes of the items."""
    state: Tensor
    """H_seq before its norm, ``[B, T, d]``."""
    aggregate: Tensor
    """h_agg ``[B, T, 2d + static]``."""


class HistoryEncoder(nn.Module):
    """Encoder of events into H_seq, H_mm and h_agg (UniRec §6).

    - ``H_seq``: ``Linear(RMSNorm([e_item ⊕ e_attributes])) + p``, or with ``events="sum"`` [I]
      ``√d · e_item + Σ e_attribute + p``, then ``history_layers`` causal blocks and RMSNorm. The
      position embeddings p and the causal blocks are [I].
    - ``H_mm``: ``RMSNorm(Linear([e_code ⊕ …]))``.
    - ``h_agg``: ``RMSNorm([H_seq,t ⊕ mean_{i ≤ t}(H_seq,i + H_mm,i) ⊕ h_static])``. The pooling is
      [I].

    Args:
        codes: number of codes per item.
        static: width of h_static, the user's fields; 0 for none.
        config: sizes.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec.config import UniRecConfig
        >>> from recops_models.generative.unirec.history import HistoryEncoder
        >>> encoder = HistoryEncoder(codes=2, static=0, config=UniRecConfig(width=8, heads=2))
        >>> item, attribute, *codes = (torch.randn(3, 5, 8) for _ in range(4))
        >>> encoder(item, [attribute, *codes], static=None).events.shape
        torch.Size([3, 5, 8])
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

    def forward(
        self, item: Tensor, tokens: Sequence[Tensor], static: Tensor | None
    ) -> HistoryEncoding:
        """Encode embedded events.

        Args:
            item: ``[B, T, d]``, e_item.
            tokens: embeddings of the path's tokens, ``[B, T, d]`` each, attributes first.
            static: ``[B, static]``, h_static; None without user fields.
        """
        length, m = item.shape[1], self.attributes
        state = self.dropout(self._event_vectors(item, tokens[:m]) + self.place[:length])
        for block in self.blocks:
            state = block(state)
        events = self.norm(state)
        content = self.dropout(self.content(torch.cat(list(tokens[m:]), -1)))
        count = torch.arange(1, length + 1, device=item.device)[:, None]
        pooled = [events, (events + content).cumsum(1) / count]
        if static is not None:
            pooled.append(static[:, None].expand(-1, length, -1))
        aggregate = self.aggregate_norm(torch.cat(pooled, -1))
        return HistoryEncoding(events, content, state, aggregate)

    def _event_vectors(self, item: Tensor, attributes: Sequence[Tensor]) -> Tensor:
        if self.event is None:
            return torch.stack([item * item.shape[-1] ** 0.5, *attributes]).sum(0)
        out: Tensor = self.event(torch.cat([item, *attributes], -1))
        return out


def event_std(config: UniRecConfig) -> float:
    """Return the standard deviation of initial item and position embeddings.

    Sums scale items by √d, so they start from SASRec's 0.02.

    Example:
        >>> from recops_models.generative.unirec.config import UniRecConfig
        >>> from recops_models.generative.unirec.history import event_std
        >>> event_std(UniRecConfig()), event_std(UniRecConfig(events="concat", width=64))
        (0.02, 0.125)
    """
    return 0.02 if config.events == "sum" else config.width**-0.5


class UserFields(nn.Module):
    """Embeddings of a user's fields, such as age group: ``h_static = [E_1[f_1] ⊕ …]``.

    The user's id is not a field, so users without training data have fields too.

    Args:
        values: ``[1 + U, F]`` i64, tokens of each user's fields, from 1; 0: value unknown. Row 0 is
            the unknown user.
        width: width of one field's embedding.
        sizes: number of values of each field; None: the largest token of each.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec.history import UserFields
        >>> values = torch.tensor([[0, 0], [1, 2], [3, 1]])  # two users with two fields
        >>> fields = UserFields(values, width=4)
        >>> fields(torch.tensor([1, 2, 0])).shape
        torch.Size([3, 8])
    """

    values: Tensor

    def __init__(self, values: Tensor, width: int, sizes: Sequence[int] | None = None) -> None:
        super().__init__()
        self.register_buffer("values", values)
        sizes = [int(size) for size in values.amax(0)] if sizes is None else sizes
        self.tables = nn.ModuleList(nn.Embedding(1 + size, width, padding_idx=0) for size in sizes)
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            draw_rows(table, width**-0.5)
        self.sizes, self.width = tuple(sizes), width * len(sizes)

    def forward(self, user: Tensor) -> Tensor:
        """Return ``[B, F · width]`` for users ``[B]``, 1-based; 0: unknown.

        Raises:
            IndexError: a user is out of range, which is checked on the CPU only.
        """
        if reads_are_free(user) and (user < 0).any():
            raise IndexError(f"UniRec: user must be 0 or more, got {int(user.min())}")
        tokens = self.values[user]
        return torch.cat([table(tokens[:, i]) for i, table in enumerate(self.tables)], -1)
