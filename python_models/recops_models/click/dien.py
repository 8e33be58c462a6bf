"""DIEN: a candidate decides how far each event moves the state of an interest.

Zhou et al., Deep Interest Evolution Network for Click-Through Rate Prediction, AAAI 2019, arXiv
1809.03672.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from recops_models.click.din import DinConfig
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.layers.dice import Dice
from recops_models.layers.feature_embedding import FeatureEmbedding, scanned_history
from recops_models.layers.mlp import MLP
from recops_models.layers.next_event import NextEvent
from recops_models.layers.recurrent import Recurrent, Reset, Update
from recops_models.layers.target_attention import BilinearAttention, TargetAttention, pool

Evolution = Literal["augru", "agru", "aigru", "none"]
Quirk = Literal["cell", "query", "affine", "auxiliary", "sums", "dice", "tables", "released"]


@dataclass(frozen=True)
class DienConfig(DinConfig):
    """Sizes, beside those of DIN. GRUs are as wide as the history.

    Attributes:
        extractor: "gru" reads the events into states; "none": the events are the states.
        evolution: what the attended states become: the last state of an "augru", "agru" or "aigru"
            (a GRU of attended inputs), or with "none" their weighted mean, as in DIN.
        reset: where the reset gate of both GRUs stands; see :func:`recops.recurrent_scan`.
        update: how attention enters an AUGRU: "paper", or "or" (the released code's).
        attention_form: "mlp", DIN's, or the paper's "bilinear".
        auxiliary: the scorer of the auxiliary loss: "mlp", "inner", or "none" for no such loss.
        auxiliary_hidden: the widths of the hidden layers of that MLP.
        auxiliary_weight: α, of that loss beside the cross-entropy.
        compat: quirks of the released code, by name; "released" for all; see :class:`Dien`.

    Raises:
        ValueError: unknown quirks; a negative α; raw attention weights in a recurrence.
    """

    extractor: Literal["gru", "none"] = "gru"
    evolution: Evolution = "augru"
    reset: Reset = "after"
    update: Update = "paper"
    attention_form: Literal["mlp", "bilinear"] = "mlp"
    auxiliary: Literal["mlp", "inner", "none"] = "mlp"
    auxiliary_hidden: tuple[int, ...] = (100, 50)
    auxiliary_weight: float = 1.0
    compat: tuple[Quirk, ...] = ()

    def __post_init__(self) -> None:
        for quirk in self.compat:
            if quirk not in get_args(Quirk):
                known = ", ".join(get_args(Quirk))
                raise ValueError(f"dien: compat knows no {quirk!r}; there are {known}")
        if self.auxiliary_weight < 0:
            raise ValueError(f"dien: auxiliary_weight must be ≥ 0, got {self.auxiliary_weight}")
        if self.attention_weights == "raw" and self.evolution != "none":
            raise ValueError("dien: attention_weights=raw are no shares of a state's update")

    def has(self, quirk: Quirk) -> bool:
        """Whether this quirk of the released code is wanted."""
        return quirk in self.compat or "released" in self.compat

    def scorer(self, width: int) -> TargetAttention | BilinearAttention:
        """A new attention to states of this width."""
        if self.attention_form == "bilinear":
            return BilinearAttention(width)
        return self.attention(width)

    def recurrent(self, width: int, cell: Literal["gru", "agru", "augru"]) -> Recurrent:
        """A new recurrent layer from states of this width to others."""
        if self.has("cell"):
            return Recurrent(width, width, cell, reset="before", update="or", tensorflow=True)
        return Recurrent(width, width, cell, reset=self.reset, update=self.update)


class Dien(nn.Module):
    """``logit = MLP([context, h'_T])``, h' the states of an AUGRU over those of a GRU.

    The extractor's states ``h_t`` tell interests from events; with the auxiliary loss each must
    tell the next event from another (:class:`NextEvent`). The candidate's attention
    ``a = softmax_t(score(e_a, h_t))`` then says how far each of them moves the evolving state, by
    one of DIEN's three cells. Candidates of one user share the extractor's states and the gates of
    the second scan.

    What the released code (mouna99/dien, 1f314d1) does otherwise, each by its name in ``compat``:

    - "cell": TensorFlow's GRUCell: the reset gate before the product, attention *or* gate
      (``z' = (1 − a) z``), one bias, which is 1 for the gates, and Glorot's law (confirmed);
    - "query": the candidate passes a linear layer and a PReLU of slope .1 before the attention
      (confirmed);
    - "affine": batch norms before the last MLP and in the auxiliary net are never told of training,
      so that a learnt scale and shift is all they are (confirmed);
    - "auxiliary": that loss is divided by padding's cells too, and the cross-entropy is half of
      what it is elsewhere: here the loss counts twice, which to Adam is the same (confirmed);
    - "sums": the MLP reads the sum of the events, and its product with the candidate, as well; the
      sum runs over padding, whose row is learnt (confirmed);
    - "dice": the batch's statistics in evaluation too (confirmed);
    - "tables": begin from Glorot's uniform law (inferred: the default where none is named).

    Not reproduced: two logits (a softmax of two is the sigmoid of their difference), 1e-8 added to
    probabilities (a 0 inside a logarithm once one rounds to 1), a crash at T < 2, the choice of the
    checkpoint on test.

    Args:
        schema: the features, fitted.
        config: sizes.
    """

    def __init__(self, schema: FittedSchema, config: DienConfig) -> None:
        super().__init__()
        self.schema, self.config = schema, config
        history = scanned_history(schema.schema, config.history)
        self.embedding = FeatureEmbedding(schema, config.width, history=history)
        d = self.embedding.history_dim
        self.extractor = config.recurrent(d, "gru") if config.extractor == "gru" else None
        self.auxiliary: NextEvent | None = None
        if config.auxiliary != "none":
            self.auxiliary = NextEvent(
                d,
                config.auxiliary_hidden,
                config.auxiliary,
                affine=config.has("affine"),
                over_all_cells=config.has("auxiliary"),
            )
        self.query = (
            nn.Sequential(nn.Linear(d, d), nn.PReLU(d, 0.1)) if config.has("query") else None
        )
        self.attention = config.scorer(d)
        self.evolution: Recurrent | None = None
        if config.evolution != "none":
            cell = "gru" if config.evolution == "aigru" else config.evolution
            self.evolution = config.recurrent(d, cell)
        self.padding = nn.Parameter(0.01 * torch.randn(d)) if config.has("sums") else None
        self.head = _head(self.output_dim(), config)
        if config.has("tables"):
            for table in self.embedding.tables.values():
                assert isinstance(table, nn.Embedding)
                nn.init.xavier_uniform_(table.weight)
                nn.init.zeros_(table.weight[:2])

    def output_dim(self) -> int:
        """The width of what the MLP reads."""
        d = self.embedding.history_dim
        return self.embedding.context_dim + (3 * d if self.config.has("sums") else d)

    def bottom(self, batch: Batch) -> Tensor:
        """``[B, output_dim]``: what the MLP reads."""
        query = self.embedding.query(batch)  # (B, d)
        events, lengths = self.embedding.histories(batch)  # (U, T, d), (U,); U is B or 1
        return self._bottom(batch, query, events, self.states(events, lengths), lengths)

    def bottom_and_auxiliary(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """:meth:`bottom`, and α times the auxiliary loss."""
        query, events = self.embedding.query(batch), self.embedding.keys(batch)
        lengths = self.embedding.lengths(batch)
        states = self.states(events, lengths)  # (B, T, d)
        x = self._bottom(batch, query, events, states, lengths)
        weight = self.config.auxiliary_weight * (2 if self.config.has("auxiliary") else 1)
        if self.auxiliary is None or weight == 0:
            return x, x.new_zeros(())
        return x, weight * self.auxiliary(states, events, lengths)

    def predict(self, batch: Batch) -> Tensor:
        """Logits ``[B]``."""
        logits: Tensor = self.head(self.bottom(batch))
        return logits.squeeze(-1)

    def states(self, events: Tensor, lengths: Tensor) -> Tensor:
        """Interests ``[U, T, d]``."""
        if self.extractor is None:
            return events
        states: Tensor = self.extractor(events, lengths)[0]
        return states

    def _bottom(
        self, batch: Batch, query: Tensor, events: Tensor, states: Tensor, lengths: Tensor
    ) -> Tensor:
        parts = self.embedding.context(batch)
        if self.padding is not None:
            absent = events.shape[1] - lengths[:, None]
            summed = events.sum(1) + absent * self.padding  # (U, d)
            parts += [summed.expand_as(query), query * summed]
        parts.append(self.evolved(query, states, lengths))
        return torch.cat(parts, -1)

    def evolved(self, query: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
        """``[B, d]``: what the candidates make of the states."""
        if self.query is not None:
            query = self.query(query)
        of_each = states.expand(len(query), -1, -1)
        lengths_of_each = lengths.expand(len(query))
        attention = self.attention.attention(query, of_each, lengths_of_each)  # (B, T)
        if self.evolution is None:
            return pool(attention, of_each)
        if self.config.evolution == "aigru":
            last: Tensor = self.evolution(attention[..., None] * of_each, lengths_of_each)[1]
            return last
        if len(states) < len(query):
            return self.evolution.candidates(states, lengths, attention)
        last = self.evolution(states, lengths, attention)[1]
        return last


class Affine(nn.Module):
    """``scale · x + shift``: a batch norm whose statistics stay 0 and 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def _head(width: int, config: DienConfig) -> MLP:
    head = config.head(width)
    if config.has("dice"):
        for place, layer in enumerate(head):
            if isinstance(layer, Dice):
                head[place] = Dice(len(layer.alpha), eps=1e-9, always_batch=True)
    if config.has("affine"):
        head.insert(0, Affine(width))
    return head
