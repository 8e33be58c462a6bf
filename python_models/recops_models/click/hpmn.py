"""HPMN: the history as a stack of slots that are updated less and less often.

Ren et al., Lifelong Sequential Modeling with Personalized Memorization for User Response
Prediction, SIGIR 2019, arXiv 1905.00758. The abstract and all of the released code were read.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import ClassVar, Literal, get_args

from torch import Tensor

import recops
from recops_models import workers
from recops_models.click.memory import MemoryModel
from recops_models.click.model import ClickConfig, check_quirks
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.layers.feature_embedding import scanned_history, state_rows
from recops_models.layers.hpmn import HpmnWeights
from recops_models.setting_checks import check_at_least

HpmnQuirk = Literal["target", "norm"]
CovarianceForm = Literal["norm", "squared"]

RELEASED_BATCH = 128
"""Users per batch in the released code, whose covariance loss is a sum over them."""


@dataclass(frozen=True)
class HpmnConfig(ClickConfig):
    """Settings in addition to those of every click model.

    Attributes:
        splits: number of updates of a slot per update of the next one. There is one slot more than
            splits, so ``()`` (`splits=""`) is a GRU with one slot.
        state: H, width of a slot.
        hops: number of hops of the attention that reads the slots.
        covariance: the loss of a user's slots, from their covariances C: ``"norm"`` is ‖C − diag
            C‖, as in the released code; ``"squared"`` is half its square.
        covariance_weight: weight of the mean of this loss over users. The default is the released
            strength: 10⁻⁵ times the sum over a batch of 128.
        history: name of the history that is read; None: the first one.
        compat: quirks of the released code, by name; see :class:`Hpmn`.

    Raises:
        ValueError: unknown quirks, the quirk "norm" with squared covariances, a split or a size
            below 1, a negative weight; and see :class:`~recops_models.click.model.ClickConfig`.

    Example:
        >>> from recops_models.click.hpmn import HpmnConfig
        >>> HpmnConfig(splits=(2, 2, 3)).periods
        (1, 2, 4, 12)
    """

    model: ClassVar[str] = "hpmn"
    splits: tuple[int, ...] = (2, 2, 2)
    state: int = 32
    hops: int = 3
    covariance: CovarianceForm = "norm"
    covariance_weight: float = 1e-5 * RELEASED_BATCH
    history: str | None = None
    compat: tuple[HpmnQuirk, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_quirks(self.model, self.compat, get_args(HpmnQuirk))
        check_at_least(self.model, self, splits=1, state=1, hops=1, covariance_weight=0)
        if "norm" in self.compat and self.covariance != "norm":
            raise ValueError(
                f"hpmn: covariance must be norm with compat=norm, got {self.covariance}"
            )

    @property
    def periods(self) -> tuple[int, ...]:
        """Number of events per update of each slot: cumulative products of the splits, from 1."""
        return tuple(accumulate((1, *self.splits), mul))


class Hpmn(MemoryModel[recops.HpmnState]):
    """``logit = MLP([context, r])``, where r is read from a user's slots in several hops.

    Slot j is updated at every ``periods[j]``-th event, by a GRU over the slot below
    (:func:`recops.hpmn_scan`). Reading is repeated attention (:func:`recops.hpmn_read`). Slots do
    not depend on the candidate, so the cost of scoring does not depend on the length of the
    history.

    The training loss adds ``covariance_weight`` times the mean over users of ``‖C − diag C‖``. C is
    the covariance of a user's slots (:func:`recops.memory_covariance`). At the default weight its
    gradient at the memory equals that of the released code with its batch of 128.

    Quirks of the released code, by their names in ``compat`` (both confirmed):

    - "target": the candidate is the last event of the history, in training and in evaluation, so
      every slot may be updated with it at the last step;
    - "norm": the norms are summed over the batch and divided by 128, so a larger batch has a larger
      weight.

    Not reproduced: batch norms that always use mean 0 and variance 1, ELU between the MLP's layers,
    padding in front that updates slots, the choice of the checkpoint on test.

    Args:
        schema: the features, fitted.
        config: sizes.

    Example:
        >>> from recops_models.click.hpmn import Hpmn, HpmnConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = Hpmn(schema, HpmnConfig(width=4, state=8))
        >>> model(batch).shape
        torch.Size([3])
        >>> outputs, state = model.write(*model.embedding.histories(batch))
        >>> state.memory.shape  # users, slots, width of a slot
        torch.Size([3, 4, 8])
    """

    config: HpmnConfig

    def __init__(self, schema: FittedSchema, config: HpmnConfig) -> None:
        super().__init__(schema, config, history=scanned_history(schema.schema, config.history))
        self.memory = HpmnWeights(
            self.embedding.history_dim, config.state, len(config.periods), hops=config.hops
        )
        self.head = config.head(self.output_dim())

    def output_dim(self) -> int:
        """Return the width of the MLP's input."""
        return self.embedding.context_dim + self.config.state

    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the input of the MLP, ``[B, output_dim]``; in training, also the slots' loss."""
        query = self.embedding.query(batch)  # (B, d)
        state = self.batch_state(batch, query)
        x = self.bottom_from_state(state, batch, query)
        if not self.training:
            return x, None
        squared = self.config.covariance == "squared"
        covariance = recops.memory_covariance(state.memory, squared=squared)
        summed = "norm" in self.config.compat
        total = self.config.covariance_weight * covariance.sum()
        if summed:
            return x, total / RELEASED_BATCH
        return x, workers.share_of_ratio(total, len(covariance))

    @property
    def reads_target_in_history(self) -> bool:
        """See :class:`MemoryModel`."""
        return "target" in self.config.compat

    def initial_state(self, users: int) -> recops.HpmnState:
        """See :meth:`MemoryModel.initial_state`."""
        return recops.HpmnState.zeros(self.memory.params(), users)

    def advance_(self, pool: recops.HpmnState, rows: Tensor, events: Tensor) -> None:
        """See :meth:`MemoryModel.advance_`; :func:`recops.hpmn_step_`."""
        recops.hpmn_step_(pool, rows, events, self.memory.params(), periods=self.config.periods)

    def write(
        self, events: Tensor, lengths: Tensor, state: recops.HpmnState | None = None
    ) -> tuple[Tensor, recops.HpmnState]:
        """See :meth:`MemoryModel.write`; outputs are those of :func:`recops.hpmn_scan`."""
        return recops.hpmn_scan(
            events, self.memory.params(), state, periods=self.config.periods, lengths=lengths
        )

    def read(self, state: recops.HpmnState, query: Tensor) -> list[Tensor]:
        """Return ``[[B, H]]``: what candidates ``[B, d]`` read from slots of B users, or of one."""
        rows = state_rows(state.num_rows, query)
        return [recops.hpmn_read(query, state, rows, self.memory.params())[0]]
