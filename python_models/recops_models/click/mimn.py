"""MIMN: the history as a memory of fixed size, which the candidate reads.

Pi et al., Practice on Long Sequential User Behavior Modeling for Click-Through Rate Prediction, KDD
2019, arXiv 1905.09248, and the code released with it (UIC-Paper/MIMN, commit 5cd5ccf).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

import recops
from recops_models import workers
from recops_models.click.din import DinConfig
from recops_models.click.memory import MemoryModel
from recops_models.click.model import check_quirks
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.layers.feature_embedding import scanned_history, state_rows
from recops_models.layers.mimn import MimnWeights
from recops_models.layers.next_event import NextEvent
from recops_models.setting_checks import check_above_zero, check_at_least, check_lengths

MimnQuirk = Literal["target", "channels"]


@dataclass(frozen=True)
class MimnConfig(DinConfig):
    """Settings in addition to those of DIN; its attention is over the channels.

    Attributes:
        slots: m, of the memory.
        state: H, of the controller; None: the width of an event.
        utilization: how writes are balanced over slots: "none", "paper" or "code"; see
            :func:`recops.mimn_scan`.
        utilization_weight: λ, weight of the variance of slot usage, in shares of the events. With
            utilization "none", usage depends on content alone, and λ trains the keys; 0 turns the
            loss off.
        induction_topk: number of channels that an event updates; 0: there are no channels.
        key_memory: whether slots have static keys.
        usage_scale: divisor of the usage, about the length of histories.
        pool: the MLP reads the "sum" of events and of added vectors (the paper), or their "mean". A
            sum grows with the history and dominates the other inputs.
        auxiliary: scorer of DIEN's auxiliary loss on the memory's outputs: "mlp" or "inner";
            "none": no such loss, as in one of the paper's comparisons.
        auxiliary_hidden: hidden widths of the scorer "mlp".
        auxiliary_weight: α, weight of the auxiliary loss.
        compat: quirks of the released code, by name; see :class:`Mimn`.

    Raises:
        ValueError: unknown quirks, negative weights, a size below 1, an auxiliary MLP without a
            hidden layer; and see :class:`~recops_models.click.din.DinConfig`.

    Example:
        >>> from recops_models.click.mimn import MimnConfig
        >>> MimnConfig(slots=4, induction_topk=5)
        Traceback (most recent call last):
            ...
        ValueError: mimn: induction_topk must be from 0 to slots=4, got 5
    """

    model: ClassVar[str] = "mimn"
    slots: int = 8
    state: int | None = None
    utilization: Literal["none", "paper", "code"] = "code"
    utilization_weight: float = 0.01
    induction_topk: int = 1
    key_memory: bool = True
    usage_scale: float = 400.0
    pool: Literal["sum", "mean"] = "mean"
    auxiliary: Literal["mlp", "inner", "none"] = "none"
    auxiliary_hidden: tuple[int, ...] = (100, 50)
    auxiliary_weight: float = 1.0
    compat: tuple[MimnQuirk, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_quirks(self.model, self.compat, get_args(MimnQuirk))
        check_at_least(self.model, self, slots=1, state=1, auxiliary_hidden=1)
        check_at_least(self.model, self, utilization_weight=0, auxiliary_weight=0)
        check_above_zero(self.model, self, "usage_scale")
        if self.auxiliary == "mlp":
            check_lengths(self.model, self, auxiliary_hidden=1)
        if not 0 <= self.induction_topk <= self.slots:
            raise ValueError(
                f"mimn: induction_topk must be from 0 to slots={self.slots}, "
                f"got {self.induction_topk}"
            )


class Mimn(MemoryModel[recops.MimnState]):
    """``logit = MLP([context, Σ_t x_t / T, o, c, A ∘ e / T])``, with the candidate e.

    e is the candidate as an event. A memory of m slots is written event by event
    (:func:`recops.mimn_scan`), independent of the candidate. One further step with e as its event,
    which is not stored, gives the output o. c is DIN's attention of the candidate to the m
    channels. A is the mean over slots of the added vectors, without erasures. The cost of scoring
    does not depend on the length T of the history. The paper and its code do not divide by T
    (``pool="sum"``); sums that grow with the history dominate the other inputs.

    The training loss adds λ times the mean over users of ``Σ_i (u_i − mean u)²``, with u the usage
    of slots divided by T. The paper's regulariser does not divide, so its weight grows with T²; the
    released code divides by m and by B. With ``auxiliary``, it adds α times DIEN's auxiliary loss
    on the outputs.

    Quirks of the released code, by their names in ``compat`` (confirmed):

    - "target": the candidate is the last event of the history, in training and in evaluation, as in
      its Taobao data. A memory that is updated outside of requests cannot reproduce this.
    - "channels": the attention sees only the channels that the last event updated, the others are
      zero; see :class:`~recops_models.click.mimn_released.ReleasedMimn`.

    Not reproduced: the usage of writes that were balanced twice; batch norms that always use mean 0
    and variance 1; half of the cross-entropy; padding in front that the memory reads (Books); an
    initial memory of 1e-5, at which cosines are noise.

    Args:
        schema: the features, fitted.
        config: sizes.

    Raises:
        ValueError: an auxiliary loss on states that are not as wide as an event, or the quirk
            "channels".

    Example:
        >>> from recops_models.click.mimn import Mimn, MimnConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = Mimn(schema, MimnConfig(width=4, slots=3))
        >>> model(batch).shape
        torch.Size([3])
        >>> outputs, state = model.write(*model.embedding.histories(batch))
        >>> state.memory.shape  # users, slots, width of an event
        torch.Size([3, 3, 8])
    """

    config: MimnConfig

    def __init__(self, schema: FittedSchema, config: MimnConfig) -> None:
        if "channels" in config.compat and type(self) is Mimn:
            raise ValueError("Mimn: compat must not have channels, which ReleasedMimn has")
        super().__init__(schema, config, history=scanned_history(schema.schema, config.history))
        d = self.embedding.history_dim
        h = d if config.state is None else config.state
        self.memory = MimnWeights(
            d, h, config.slots, usage_scale=config.usage_scale, key_memory=config.key_memory
        )
        self.auxiliary: NextEvent | None = None
        if config.auxiliary != "none":
            if h != d:
                raise ValueError(f"mimn: auxiliary needs state={d}, as wide as an event, got {h}")
            self.auxiliary = NextEvent(d, config.auxiliary_hidden, config.auxiliary)
        self.attention = config.attention(d) if config.induction_topk else None
        self.head = config.head(self.output_dim())

    def output_dim(self) -> int:
        """Return the width of the MLP's input."""
        d = self.embedding.history_dim
        h = d if self.config.state is None else self.config.state
        channels = d if self.config.induction_topk else 0
        return self.embedding.context_dim + 2 * d + h + channels

    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the MLP's input ``[B, output_dim]``; in training, also the memory's losses."""
        query = self.embedding.query(batch)  # (B, d)
        if self.training and self.auxiliary is not None:  # Needs outputs, not only final states.
            events, lengths = self.histories(batch, query)
            outputs, state = self.scanned(events, lengths)
        else:
            state = self.batch_state(batch, query)
        x = self.bottom_from_state(state, batch, query)
        if not self.training:
            return x, None
        usage = state.usage / _events(state)
        uneven = workers.share_of_ratio(recops.memory_utilization(usage).sum(), len(usage))
        loss = self.config.utilization_weight * uneven
        if self.auxiliary is not None:
            next_loss: Tensor = self.auxiliary(outputs, events, lengths)
            loss = loss + self.config.auxiliary_weight * next_loss
        return x, loss

    @property
    def reads_target_in_history(self) -> bool:
        """See :class:`MemoryModel`."""
        return "target" in self.config.compat

    def initial_state(self, users: int) -> recops.MimnState:
        """See :meth:`MemoryModel.initial_state`."""
        return recops.MimnState.zeros(self.memory.params(), users)

    def advance_(self, pool: recops.MimnState, rows: Tensor, events: Tensor) -> None:
        """See :meth:`MemoryModel.advance_`; :func:`recops.mimn_step_`."""
        recops.mimn_step_(
            pool,
            rows,
            events,
            self.memory.params(),
            utilization=self.config.utilization,
            induction_topk=self.config.induction_topk,
        )

    def scanned(self, events: Tensor, lengths: Tensor) -> tuple[Tensor, recops.MimnState]:
        """Return the outputs ``[U, T, H]`` of histories, and the states that candidates read."""
        return self.write(events, lengths)

    def write(
        self, events: Tensor, lengths: Tensor, state: recops.MimnState | None = None
    ) -> tuple[Tensor, recops.MimnState]:
        """See :meth:`MemoryModel.write`; outputs are ``[U, T, H]``."""
        return recops.mimn_scan(
            events,
            self.memory.params(),
            state,
            lengths=lengths,
            utilization=self.config.utilization,
            induction_topk=self.config.induction_topk,
        )

    def read(self, state: recops.MimnState, query: Tensor) -> list[Tensor]:
        """Return the columns that candidates ``[B, d]`` read from states of B users, or of one."""
        rows = state_rows(state.num_rows, query)
        output, _, channels = recops.mimn_read(
            state,
            rows,
            query,
            self.memory.params(),
            utilization=self.config.utilization,
            induction_topk=self.config.induction_topk,
        )
        pooled, added = state.pooled[rows], state.added[rows]
        if self.config.pool == "mean":
            count = _events(state)[rows]
            pooled, added = pooled / count, added / count
        parts = [pooled, output, added * query]
        if self.attention is None:
            return parts
        slots = torch.full_like(rows, self.config.slots)
        channels = self._channels(state, rows, channels)
        return [*parts, self.attention(query, channels.to(query.dtype), slots)]

    def _channels(self, state: recops.MimnState, rows: Tensor, after_candidate: Tensor) -> Tensor:
        """Return ``[B, m, d]``, the channels that the attention reads."""
        return after_candidate


def _events(state: recops.MimnState) -> Tensor:
    """Return the number of events of each user, at least 1, ``[U, 1]``."""
    return state.count[:, None].clamp(min=1)
