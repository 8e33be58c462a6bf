"""DIEN as its authors' released code has it, quirk by quirk (mouna99/dien, commit 1f314d1)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from recops_models.click.dien import Dien, DienConfig
from recops_models.examples.features import FittedSchema
from recops_models.examples.lookup import UNKNOWN
from recops_models.layers.dice import Dice
from recops_models.layers.next_event import NextEvent, ScorerKind
from recops_models.layers.recurrent import Recurrent


class ReleasedDien(Dien):
    """:class:`~recops_models.click.dien.Dien`, but for what ``config.compat`` names:

    - "cell": TensorFlow's GRUCell: the reset gate before the product, attention *or* gate
      (``z' = (1 − a) z``), whatever ``reset`` and ``update`` say, one bias, which is 1 for the
      gates, and Glorot's law (confirmed);
    - "query": the candidate passes a linear layer and a PReLU of slope .1 before the attention
      (confirmed);
    - "affine": batch norms before the last MLP and in the auxiliary net are never told of training,
      so that a learnt scale and shift is all they are (confirmed);
    - "auxiliary": that loss is divided by padding's cells too, and the cross-entropy is half of
      what it is elsewhere: here the loss counts twice, which to Adam is the same (confirmed);
    - "sums": the MLP reads the sum of the events, and its product with the candidate, as well; the
      sum runs over padding, whose row is learnt (confirmed);
    - "dice": the batch's statistics in evaluation too (confirmed);
    - "tables": begin from Glorot's uniform law (inferred: the default where none is named), those
      of pretrained vectors aside.

    Not reproduced: two logits (a softmax of two is the sigmoid of their difference), 1e-8 added to
    probabilities (a 0 inside a logarithm once one rounds to 1), a crash at T < 2, the choice of the
    checkpoint on test.

    Args:
        schema: the features, fitted.
        config: sizes; its ``compat`` names the quirks.
    """

    def __init__(self, schema: FittedSchema, config: DienConfig) -> None:
        super().__init__(schema, config)
        if config.has("tables"):
            for name, owner in schema.schema.tables.items():
                table = self.embedding.tables[name]
                assert isinstance(table, nn.Embedding)
                if owner.pretrained is None:
                    nn.init.xavier_uniform_(table.weight)
                    nn.init.zeros_(table.weight[: UNKNOWN + 1])

    def output_dim(self) -> int:
        """The width of what the MLP reads."""
        sums = 2 * self.embedding.history_dim if self.config.has("sums") else 0
        return super().output_dim() + sums

    def _recurrent(self, width: int, cell: Literal["gru", "agru", "augru"]) -> Recurrent:
        if not self.config.has("cell"):
            return super()._recurrent(width, cell)
        return Recurrent(width, width, cell, reset="before", update="or", tensorflow=True)

    def _auxiliary(self, width: int, scorer: ScorerKind) -> NextEvent:
        return NextEvent(
            width,
            self.config.auxiliary_hidden,
            scorer,
            affine=self.config.has("affine"),
            over_all_cells=self.config.has("auxiliary"),
        )

    def _make_query(self, width: int) -> None:
        self.query: nn.Module | None = None
        if self.config.has("query"):
            self.query = nn.Sequential(nn.Linear(width, width), nn.PReLU(width, 0.1))

    def _make_sums(self, width: int) -> None:
        self.padding: nn.Parameter | None = None
        if self.config.has("sums"):
            self.padding = nn.Parameter(0.01 * torch.randn(width))

    def _head(self) -> nn.Module:
        width = self.output_dim()
        head = self.config.head(width)
        if self.config.has("dice"):
            for place, layer in enumerate(head):
                if isinstance(layer, Dice):
                    head[place] = Dice(len(layer.alpha), eps=1e-9, always_batch=True)
        if self.config.has("affine"):
            head.insert(0, Affine(width))
        return head

    def _auxiliary_weight(self) -> float:
        return self.config.auxiliary_weight * (2 if self.config.has("auxiliary") else 1)

    def _asked(self, query: Tensor) -> Tensor:
        if self.query is None:
            return query
        asked: Tensor = self.query(query)
        return asked

    def _sums(self, query: Tensor, events: Tensor, lengths: Tensor) -> list[Tensor]:
        if self.padding is None:
            return []
        absent = events.shape[1] - lengths[:, None]
        summed = events.sum(1) + absent * self.padding  # (U, d)
        return [summed.expand_as(query), query * summed]


class Affine(nn.Module):
    """``scale · x + shift``: a batch norm whose statistics stay 0 and 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift
