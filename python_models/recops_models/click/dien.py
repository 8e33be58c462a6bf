"""DIEN: a click model in which the candidate controls how events update an interest state.

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
from recops_models.layers.next_event import NextEvent
from recops_models.layers.recurrent import Cell, Recurrent, Reset, Update
from recops_models.layers.target_attention import BilinearAttention, TargetAttention, pool
from recops_models.setting_checks import check_at_least, check_lengths

Evolution = Literal["augru", "agru", "aigru", "none"]
Quirk = Literal["cell", "query", "affine", "auxiliary", "sums", "dice", "tables", "released"]


@dataclass(frozen=True)
class DienConfig(DinConfig):
    """Settings in addition to those of DIN. GRUs are as wide as an event of the history.

    Attributes:
        extractor: "gru": a GRU turns events into states; "none": events are the states.
        evolution: how attended states become one interest: the last state of an "augru", an "agru"
            or an "aigru" (a GRU over attended inputs); "none": their weighted mean, as in DIN.
        reset: position of the reset gate in both GRUs; see :func:`recops.recurrent_scan`.
        update: how attention enters an AUGRU: "paper", or "or" (as in the released code).
        attention_form: "mlp" as in DIN, or "bilinear" as in the paper.
        auxiliary: scorer of the auxiliary loss: "mlp" or "inner"; "none": no auxiliary loss.
        auxiliary_hidden: hidden widths of the scorer "mlp".
        auxiliary_weight: α, the weight of the auxiliary loss.
        compat: quirks of the released code, by name, or "released" for all of them; see
            :class:`~recops_models.click.dien_released.ReleasedDien`.

    Raises:
        ValueError: unknown quirks; a negative α; no hidden layer of the scorer "mlp", or one of
            width 0; raw attention weights in a recurrence; see also
            :class:`~recops_models.click.din.DinConfig`.

    Example:
        >>> from recops_models.click.dien import DienConfig
        >>> DienConfig(compat=("released",)).has("dice")
        True
        >>> DienConfig(attention_weights="raw")
        Traceback (most recent call last):
            ...
        ValueError: dien: attention_weights must not be raw with evolution=augru
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
            raise ValueError(
                f"dien: attention_weights must not be raw with evolution={self.evolution}"
            )

    def has(self, quirk: Quirk) -> bool:
        """Return whether the model has this quirk of the released code."""
        return quirk in self.compat or "released" in self.compat

    def scorer(self, width: int) -> TargetAttention | BilinearAttention:
        """Return a new attention over states of this width."""
        if self.attention_form == "bilinear":
            return BilinearAttention(width, weights=self.attention_weights)
        return self.attention(width)

    def recurrent(self, width: int, cell: Cell) -> Recurrent:
        """Return a new recurrent layer whose inputs and states have this width."""
        if self.has("cell"):
            return Recurrent(width, width, cell, reset="before", update="or", tensorflow=True)
        return Recurrent(width, width, cell, reset=self.reset, update=self.update)

    def next_event(self, width: int) -> NextEvent | None:
        """Return a new auxiliary loss on states of this width, or None if there is none."""
        if self.auxiliary == "none":
            return None
        return NextEvent(
            width,
            self.auxiliary_hidden,
            self.auxiliary,
            affine=self.has("affine"),
            over_all_cells=self.has("auxiliary"),
        )

    def query_layer(self, width: int) -> nn.Module:
        """Return a new layer between the candidate and the attention."""
        if self.has("query"):
            return nn.Sequential(nn.Linear(width, width), nn.PReLU(width, 0.1))
        return nn.Identity()


class Dien(ClickModel):
    """``logit = MLP([context, h'_T])``, where h' are states of an AUGRU over the states h of a GRU.

    The extractor's states ``h_t`` represent interests. With the auxiliary loss, each state must
    distinguish the next event from a random one (:class:`NextEvent`). The candidate's attention
    ``a = softmax_t(score(e_a, h_t))`` scales how much ``h_t`` updates h', in one of the paper's
    three cells. Candidates of one user share h and its projections in the second scan.

    Args:
        schema: the features, fitted.
        config: sizes.

    Raises:
        ValueError: ``config.compat`` is not empty; use
            :class:`~recops_models.click.dien_released.ReleasedDien`.

    Example:
        >>> from recops_models.click.dien import Dien, DienConfig
        >>> from recops_models.click.loss import training_loss
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = Dien(schema, DienConfig(width=4))
        >>> model(batch).shape
        torch.Size([3])
        >>> training_loss(model, batch).backward()  # includes the auxiliary loss
    """

    config: DienConfig

    def __init__(self, schema: FittedSchema, config: DienConfig) -> None:
        super().__init__(schema, config, history=scanned_history(schema.schema, config.history))
        if config.compat and type(self) is Dien:
            raise ValueError("Dien: compat must be empty, got quirks that ReleasedDien has")
        d = self.embedding.history_dim
        self.extractor = config.recurrent(d, "gru") if config.extractor == "gru" else None
        self.auxiliary = config.next_event(d)
        self.query = config.query_layer(d)
        self.attention = config.scorer(d)
        self.evolution: Recurrent | None = None
        if config.evolution != "none":
            cell = "gru" if config.evolution == "aigru" else config.evolution
            self.evolution = config.recurrent(d, cell)
        self.head = self._build_head()

    def _build_head(self) -> nn.Module:
        return self.config.head(self.output_dim())

    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Input of the MLP ``[B, output_dim]``; in training, also α times the auxiliary loss."""
        query = self.embedding.query(batch)  # (B, d)
        events, lengths = self.embedding.histories(batch)  # (U, T, d), (U,); U is B or 1
        states = self.embedding.states(batch, self.states)
        columns = self.embedding.context(batch)
        columns += self.interest(query, states, events, lengths)
        return torch.cat(columns, -1), self.auxiliary_loss(states, events, lengths)

    def auxiliary_loss(self, states: Tensor, events: Tensor, lengths: Tensor) -> Tensor | None:
        """Return α times the auxiliary loss, or None in evaluation and without such a loss."""
        weight = self.config.auxiliary_weight
        if not self.training or self.auxiliary is None or weight == 0:
            return None
        loss: Tensor = self.auxiliary(states, events, lengths)
        return weight * loss

    def states(self, events: Tensor, lengths: Tensor) -> Tensor:
        """Interest states ``[U, T, d]`` of events ``[U, T, d]`` with lengths ``[U]``."""
        if self.extractor is None:
            return events
        states: Tensor = self.extractor(events, lengths)[0]
        return states

    def interest(
        self, query: Tensor, states: Tensor, events: Tensor, lengths: Tensor
    ) -> list[Tensor]:
        """Return the columns of the MLP's input that depend on the history, each ``[B, ·]``.

        Args:
            query: candidates ``[B, d]``.
            states: ``[U, T, d]``; U is B, or 1 if all candidates share one history.
            events: ``[U, T, d]``.
            lengths: ``[U]``.
        """
        return [self.evolved(query, states, lengths)]

    def evolved(self, query: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
        """Final interest ``[B, d]`` of the candidates; arguments as in :meth:`interest`."""
        query = self.query(query)
        row_states = states.expand(len(query), -1, -1)
        row_lengths = lengths.expand(len(query))
        attention = self.attention.attention(query, row_states, row_lengths)  # (B, T)
        if self.evolution is None:
            return pool(attention, row_states)
        if self.config.evolution == "aigru":
            last: Tensor = self.evolution(attention[..., None] * row_states, row_lengths)[1]
            return last
        if len(states) < len(query):
            return self.evolution.candidates(states, lengths, attention)
        last = self.evolution(states, lengths, attention)[1]
        return last
