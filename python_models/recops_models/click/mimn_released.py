"""MIMN with the channel defect of its released code (UIC-Paper/MIMN, commit 5cd5ccf)."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import recops
from recops_models.click.mimn import Mimn, MimnConfig
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema


class ReleasedMimn(Mimn):
    """:class:`~recops_models.click.mimn.Mimn` for ``compat`` with "channels".

    The released code has a buffer for the outputs of the m channels but never writes to it. After
    the scan, channel i of the buffer is the state of channel i if the last event moved it, else
    zero (confirmed). The attention reads that buffer, all m rows of it, as the last event left it.
    :class:`Mimn` reads the states of all channels after the candidate's own step.

    The states themselves advance as in :class:`Mimn`; only the attention's input differs. A stored
    state does not tell which channels moved last, so such a model cannot be served from states.

    Args:
        schema: the features, fitted.
        config: sizes; ``compat`` names "channels".

    Raises:
        ValueError: ``induction_topk=0``, as there are no channels then; and see :class:`Mimn`.
    """

    def __init__(self, schema: FittedSchema, config: MimnConfig) -> None:
        if not config.induction_topk:
            raise ValueError("mimn: compat=channels needs induction_topk of at least 1, got 0")
        super().__init__(schema, config)

    @property
    def unservable_quirk(self) -> str | None:
        """See :class:`~recops_models.click.memory.MemoryModel`."""
        return super().unservable_quirk or "channels"

    def written(self, batch: Batch, query: Tensor) -> recops.MimnState:
        """See :meth:`MemoryModel.written`; each history is written by itself."""
        return self.scanned(*self.histories(batch, query))[1]

    def scanned(self, events: Tensor, lengths: Tensor) -> tuple[Tensor, recops.MimnState]:
        """Return the outputs of :meth:`Mimn.write` and its state with the released channels.

        The scan takes the last event by itself: what a candidate's step reads before it is what
        that event reads.
        """
        earlier = (lengths - 1).clamp(min=0)
        outputs, before = self.write(events, earlier)
        users = torch.arange(len(events), device=events.device)
        padded = torch.cat([events, events.new_zeros(len(events), 1, events.shape[2])], 1)
        last = padded[users, earlier]  # Without events, zeros that a length of 0 skips.
        final, state = self.write(last[:, None], lengths.clamp(max=1), before)
        is_last = torch.arange(events.shape[1], device=events.device) == (lengths - 1)[:, None]
        outputs = torch.where(is_last[..., None], final, outputs)
        moved = self._moved(before, last) & (lengths > 0)[:, None]
        channels = state.channels * moved[..., None]
        return outputs, dataclasses.replace(state, channels=channels)

    def _channels(self, state: recops.MimnState, rows: Tensor, after_candidate: Tensor) -> Tensor:
        return state.channels[rows]

    @torch.no_grad()
    def _moved(self, state: recops.MimnState, events: Tensor) -> Tensor:
        """``[U, m]`` bool: the channels that events ``[U, d]`` move, one event per state."""
        users = torch.arange(len(events), device=events.device)
        weights = recops.mimn_read(
            state,
            users,
            events,
            self.memory.params(),
            utilization=self.config.utilization,
            induction_topk=self.config.induction_topk,
        )[1]
        # Stable: of equal weights the op moves the lowest slot.
        order = weights.argsort(dim=-1, descending=True, stable=True)
        moved = torch.zeros_like(weights, dtype=torch.bool)
        return moved.scatter(1, order[:, : self.config.induction_topk], True)
