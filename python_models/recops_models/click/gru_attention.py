"""GRU with attention: target attention to the states of a GRU over the history.

The baseline "two-layer GRU attention" of Zhou et al., Deep Interest Evolution Network, AAAI 2019,
§4. Compared with DIN it adds the order of events; unlike DIEN, attention does not enter the
recurrence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from recops_models.click.din import DinConfig
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.layers.feature_embedding import scanned_history
from recops_models.layers.recurrent import Recurrent
from recops_models.setting_checks import check_at_least


@dataclass(frozen=True)
class GruAttentionConfig(DinConfig):
    """Settings in addition to those of DIN.

    Attributes:
        layers: number of GRUs, each as wide as an event of the history.

    Raises:
        ValueError: no layer, and see :class:`~recops_models.click.din.DinConfig`.

    Example:
        >>> from recops_models.click.gru_attention import GruAttentionConfig
        >>> GruAttentionConfig(layers=0)
        Traceback (most recent call last):
            ...
        ValueError: gru-attention: layers must be ≥ 1, got 0
    """

    model: ClassVar[str] = "gru-attention"
    layers: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self.model, self, layers=1)


class GruAttention(ClickModel):
    """``logit = MLP([context, Σ_t w_t h_t])``, with h the states of a GRU over the history.

    Args:
        schema: the features, fitted.
        config: sizes.

    Example:
        >>> from recops_models.click.gru_attention import GruAttention, GruAttentionConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = GruAttention(schema, GruAttentionConfig(width=4))
        >>> model(batch).shape
        torch.Size([3])
        >>> model.states(*model.embedding.histories(batch)).shape
        torch.Size([3, 2, 8])
    """

    def __init__(self, schema: FittedSchema, config: GruAttentionConfig) -> None:
        super().__init__(schema, config, history=scanned_history(schema.schema, config.history))
        d = self.embedding.history_dim
        self.grus = nn.ModuleList(Recurrent(d, d) for _ in range(config.layers))
        self.attention = config.attention(d)
        self.head = config.head(self.output_dim())

    def bottom(self, batch: Batch) -> tuple[Tensor, None]:
        """Return the input of the MLP, ``[B, output_dim]``."""
        context = self.embedding.context(batch)  # [(B, …)]
        query = self.embedding.query(batch)  # (B, d)
        states = self.embedding.states(batch, self.states)  # (U, T, d); U is B, or 1
        row_states = states.expand(len(query), -1, -1)
        interest = self.attention(query, row_states, self.embedding.lengths(batch))  # (B, d)
        return torch.cat([*context, interest], -1), None

    def states(self, events: Tensor, lengths: Tensor) -> Tensor:
        """Return the states ``[U, T, d]`` of the last GRU."""
        for gru in self.grus:
            events, _ = gru(events, lengths)
        return events
