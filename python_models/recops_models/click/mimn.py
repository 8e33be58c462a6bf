"""MIMN: a user's history is a memory of fixed size, which a candidate reads.

Pi et al., Practice on Long Sequential User Behavior Modeling for Click-Through Rate Prediction, KDD
2019, arXiv 1905.09248, and the code released with it (UIC-Paper/MIMN, commit 5cd5ccf).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

import recops
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
    """Sizes, beside those of DIN, whose attention here is to the channels.

    Attributes:
        slots: m, of the memory.
        state: H, of the controller; None: as wide as an event.
        utilization: how writes are spread over slots: "none", "paper" or "code"; see
            :func:`recops.mimn_scan`.
        utilization_weight: λ, of how unevenly slots are used, as shares of the events. With
            utilization "none" usage is by content alone, and λ trains the keys; for neither, 0.
        induction_topk: how many channels an event moves; 0: there are no channels.
        key_memory: whether slots have static keys.
        usage_scale: what usage is divided by, about the length of histories.
        pool: whether the MLP reads the "sum" of events and of added vectors (the paper), or their
            "mean": a sum grows with the history, and drowns what the memory tells beside it.
        auxiliary: the scorer of DIEN's auxiliary loss on the memory's outputs: "mlp", "inner", or
            "none" (the paper compares without).
        auxiliary_hidden: the widths of the hidden layers of that MLP.
        auxiliary_weight: α, of that loss.
        compat: quirks of the released code, by name; see :class:`Mimn`.

    Raises:
        ValueError: unknown quirks, negative weights, a size below 1, an auxiliary MLP without a
            hidden layer, an auxiliary loss on a state of another width than the event, which the
            schema tells; and see :class:`~recops_models.click.din.DinConfig`.
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
    """``logit = MLP([context, Σ_t x_t / T, o, c, A ∘ e / T])``, e the candidate as an event.

    A memory of m slots is written event by event (:func:`recops.mimn_scan`), whoever the candidate.
    It then makes one step more, with e as its event, which is not stored: its output o is what the
    candidate reads; c is what of the m channels matters to it, by DIN's attention; A is the slots'
    mean of the added vectors, never erased. Scoring costs the same whatever the length T of the
    history. The paper and its code do not divide by T (``pool="sum"``): what grows with the history
    drowns the rest.

    The loss has λ times the mean over users of ``Σ_i (u_i − mean u)²``, u the usage of slots over T
    (the paper's regulariser does not divide, so that its weight grows with T²; the released code
    divides by m and by B) and, if asked for, α times DIEN's auxiliary loss on the outputs.

    What the released code does otherwise, by its name in ``compat`` (confirmed):

    - "target": the candidate is the history's last event, in training and in evaluation (its
      Taobao data is made so), which a memory that is updated apart from requests cannot have.

    - "channels": the attention sees only the channels that the last event moved, the others are
      zero; see :class:`~recops_models.click.mimn_released.ReleasedMimn`.

    Not reproduced: usage of writes that were moved twice; batch
    norms that are told of no training, half of the cross-entropy, padding in front that the memory
    reads (Books), a memory that begins at 1e-5, where cosines are noise.

    Args:
        schema: the features, fitted.
        config: sizes.

    Raises:
        ValueError: an auxiliary loss on states that are not as wide as an event, or the quirk
            "channels".
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
        """The width of what the MLP reads."""
        d = self.embedding.history_dim
        h = d if self.config.state is None else self.config.state
        channels = d if self.config.induction_topk else 0
        return self.embedding.context_dim + 2 * d + h + channels

    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """``[B, output_dim]``, what the MLP reads; in training, the losses of the memory."""
        query = self.embedding.query(batch)  # (B, d)
        if self.training and self.auxiliary is not None:  # It reads the outputs of every history.
            events, lengths = self.histories(batch, query)
            outputs, state = self.scanned(events, lengths)
        else:
            state = self.written(batch, query)
        x = self.upon(state, batch, query)
        if not self.training:
            return x, None
        used = state.usage / _events(state)
        uneven = recops.memory_utilization(used).sum() / max(len(used), 1)  # [B]
        loss = self.config.utilization_weight * uneven
        if self.auxiliary is not None:
            of_next: Tensor = self.auxiliary(outputs, events, lengths)
            loss = loss + self.config.auxiliary_weight * of_next
        return x, loss

    @property
    def reads_target_in_history(self) -> bool:
        """See :class:`MemoryModel`."""
        return "target" in self.config.compat

    def begin(self, users: int) -> recops.MimnState:
        """See :meth:`MemoryModel.begin`."""
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
        """Return the outputs ``[U, T, H]`` of whole histories, and the states to read."""
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
        """What candidates ``[B, d]`` make of the states of B users, or of one."""
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
    """``[U, 1]``: each user's events, at least 1."""
    return state.count[:, None].clamp(min=1)
