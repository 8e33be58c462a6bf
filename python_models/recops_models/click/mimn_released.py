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
    """:class:`~recops_models.click.mimn.Mimn` with the quirk "channels".

    The released code has a buffer for the outputs of the m channels but never writes to it. After
    the scan, channel i of the buffer is the state of channel i if the last event updated it, else
    zero (confirmed). The attention reads all m rows of this buffer, as the last event left it.
    :class:`Mimn` reads the states of all channels after the candidate's own step.

    The states advance as in :class:`Mimn`; only the attention's input differs. A stored state does
    not record which channels were updated last, so such a model cannot be served from states.

    Args:
        schema: the features, fitted.
        config: sizes; ``compat`` names "channels".

    Raises:
        ValueError: ``induction_topk=0``, since there are no channels then; and see :class:`Mimn`.

    Example:
        >>> from recops_models.click.mimn import MimnConfig
        >>> from recops_models.click.mimn_released import ReleasedMimn
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = ReleasedMimn(schema, MimnConfig(width=4, slots=3, compat=("channels",)))
        >>> model(batch).shape
        torch.Size([3])
        >>> model.unservable_quirk
        'channels'
    """

    def __init__(self, schema: FittedSchema, config: MimnConfig) -> None:
        if not config.induction_topk:
            raise ValueError("mimn: compat=channels needs induction_topk of at least 1, got 0")
        super().__init__(schema, config)

    @property
    def unservable_quirk(self) -> str | None:
        """See :class:`~recops_models.click.memory.MemoryModel`."""
        return super().unservable_quirk or "channels"

    def batch_state(self, batch: Batch, query: Tensor) -> recops.MimnState:
        """See :meth:`MemoryModel.batch_state`; each history is scanned separately."""
        return self.scanned(*self.histories(batch, query))[1]

    def scanned(self, events: Tensor, lengths: Tensor) -> tuple[Tensor, recops.MimnState]:
        """Return the outputs of :meth:`Mimn.write` and its state with the released channels.

        The last event is scanned separately, to find the channels that it updates.
        """
        earlier = (lengths - 1).clamp(min=0)
        outputs, before = self.write(events, earlier)
        users = torch.arange(len(events), device=events.device)
        padded = torch.cat([events, events.new_zeros(len(events), 1, events.shape[2])], 1)
        last = padded[users, earlier]  # Without events, zeros that a length of 0 skips.
        final, state = self.write(last[:, None], lengths.clamp(max=1), before)
        is_last = torch.arange(events.shape[1], device=events.device) == (lengths - 1)[:, None]
        outputs = torch.where(is_last[..., None], final, outputs)
        updated = self._updated(before, last) & (lengths > 0)[:, None]
        channels = state.channels * updated[..., None]
        return outputs, dataclasses.replace(state, channels=channels)

    def _channels(self, state: recops.MimnState, rows: Tensor, after_candidate: Tensor) -> Tensor:
        return state.channels[rows]

    @torch.no_grad()
    def _updated(self, state: recops.MimnState, events: Tensor) -> Tensor:
        """Return bool ``[U, m]``: the channels that events ``[U, d]`` update, one per state."""
        users = torch.arange(len(events), device=events.device)
        weights = recops.mimn_read(
            state,
            users,
            events,
            self.memory.params(),
            utilization=self.config.utilization,
            induction_topk=self.config.induction_topk,
        )[1]
        # Stable, since the op updates the lowest slot among equal weights.
        order = weights.argsort(dim=-1, descending=True, stable=True)
        updated = torch.zeros_like(weights, dtype=torch.bool)
        return updated.scatter(1, order[:, : self.config.induction_topk], True)
