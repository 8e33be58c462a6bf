"""DIEN: a candidate decides how far each event moves the state of an interest.

Zhou et al., Deep Interest Evolution Network for Click-Through Rate Prediction, AAAI 2019, arXiv
1809.03672.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from recops_models.click.din import DinConfig
from recops_models.click.model import ClickModel, check_quirks
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.layers.feature_embedding import scanned_history
from recops_models.layers.next_event import NextEvent, ScorerKind
from recops_models.layers.recurrent import Recurrent, Reset, Update
from recops_models.layers.target_attention import BilinearAttention, TargetAttention, pool
from recops_models.setting_checks import check_at_least, check_lengths

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
        compat: quirks of the released code, by name; "released" for all; see
            :class:`~recops_models.click.dien_released.ReleasedDien`, the class for any of them.

    Raises:
        ValueError: unknown quirks; a negative α; an auxiliary MLP without a hidden layer, or with
            one below 1; raw attention weights in a recurrence; and see
            :class:`~recops_models.click.din.DinConfig`.
    """

    model: ClassVar[str] = "dien"
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
        super().__post_init__()
        check_quirks(self.model, self.compat, get_args(Quirk))
        check_at_least(self.model, self, auxiliary_hidden=1, auxiliary_weight=0)
        if self.auxiliary == "mlp":
            check_lengths(self.model, self, auxiliary_hidden=1)
        if self.attention_weights == "raw" and self.evolution != "none":
            raise ValueError("dien: attention_weights=raw are no shares of a state's update")

    def has(self, quirk: Quirk) -> bool:
        """Whether this quirk of the released code is wanted."""
        return quirk in self.compat or "released" in self.compat

    def scorer(self, width: int) -> TargetAttention | BilinearAttention:
        """A new attention to states of this width."""
        if self.attention_form == "bilinear":
            return BilinearAttention(width, weights=self.attention_weights)
        return self.attention(width)

    def recurrent(self, width: int, cell: Literal["gru", "agru", "augru"]) -> Recurrent:
        """A new recurrent layer from states of this width to others."""
        return Recurrent(width, width, cell, reset=self.reset, update=self.update)


class Dien(ClickModel):
    """``logit = MLP([context, h'_T])``, h' the states of an AUGRU over those of a GRU.

    The extractor's states ``h_t`` tell interests from events; with the auxiliary loss each must
    tell the next event from another (:class:`NextEvent`). The candidate's attention
    ``a = softmax_t(score(e_a, h_t))`` then says how far each of them moves the evolving state, by
    one of DIEN's three cells. Candidates of one user share the extractor's states and the gates of
    the second scan.

    Args:
        schema: the features, fitted.
        config: sizes.

    Raises:
        ValueError: quirks of the released code, which
            :class:`~recops_models.click.dien_released.ReleasedDien` has.
    """

    config: DienConfig

    def __init__(self, schema: FittedSchema, config: DienConfig) -> None:
        super().__init__(schema, config, history=scanned_history(schema.schema, config.history))
        if config.compat and type(self) is Dien:
            raise ValueError("Dien: compat must be empty, got quirks that ReleasedDien has")
        d = self.embedding.history_dim
        self.extractor = self._recurrent(d, "gru") if config.extractor == "gru" else None
        self.auxiliary: NextEvent | None = None
        if config.auxiliary != "none":
            self.auxiliary = self._auxiliary(d, config.auxiliary)
        self._make_query(d)
        self.attention = config.scorer(d)
        self.evolution: Recurrent | None = None
        if config.evolution != "none":
            cell = "gru" if config.evolution == "aigru" else config.evolution
            self.evolution = self._recurrent(d, cell)
        self._make_sums(d)
        self.head = self._head()

    # What released code does otherwise, in the order in which weights are drawn.

    def _recurrent(self, width: int, cell: Literal["gru", "agru", "augru"]) -> Recurrent:
        return self.config.recurrent(width, cell)

    def _auxiliary(self, width: int, scorer: ScorerKind) -> NextEvent:
        return NextEvent(width, self.config.auxiliary_hidden, scorer)

    def _make_query(self, width: int) -> None:
        """Layers between the candidate and the attention."""

    def _make_sums(self, width: int) -> None:
        """Weights that :meth:`_sums` has."""

    def _head(self) -> nn.Module:
        return self.config.head(self.output_dim())

    def _auxiliary_weight(self) -> float:
        return self.config.auxiliary_weight

    def _asked(self, query: Tensor) -> Tensor:
        """The candidate ``[B, d]`` as the attention reads it."""
        return query

    def _sums(self, query: Tensor, events: Tensor, lengths: Tensor) -> list[Tensor]:
        """What the MLP reads of the events beside the interest."""
        return []

    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """``[B, output_dim]``, what the MLP reads; in training, α times the auxiliary loss."""
        query = self.embedding.query(batch)  # (B, d)
        # (U, T, d), (U,); U is B, or 1 where candidates are scored upon one history.
        events, lengths = self.embedding.histories(batch)
        states = self.embedding.states(batch, self.states)
        parts = self.embedding.context(batch) + self._sums(query, events, lengths)
        parts.append(self.evolved(query, states, lengths))
        return torch.cat(parts, -1), self.auxiliary_loss(states, events, lengths)

    def auxiliary_loss(self, states: Tensor, events: Tensor, lengths: Tensor) -> Tensor | None:
        """α times the auxiliary loss; None outside of training, or where there is none."""
        weight = self._auxiliary_weight()
        if not self.training or self.auxiliary is None or weight == 0:
            return None
        loss: Tensor = self.auxiliary(states, events, lengths)
        return weight * loss

    def states(self, events: Tensor, lengths: Tensor) -> Tensor:
        """Interests ``[U, T, d]``."""
        if self.extractor is None:
            return events
        states: Tensor = self.extractor(events, lengths)[0]
        return states

    def evolved(self, query: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
        """``[B, d]``: what the candidates make of the states."""
        query = self._asked(query)
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
