"""What click models have in common whose user is a memory, written apart from requests."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor

import recops
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.layers.feature_embedding import with_target
from recops_models.layers.states_at import states_at

MemoryStateT = TypeVar("MemoryStateT", recops.MimnState, recops.HpmnState)


class MemoryModel(ClickModel, Generic[MemoryStateT]):
    """A click model that reads a user's state where others read the history.

    Training writes the state of a history in one scan; a store of states moves it event by event
    (:meth:`advance_`), to the same bits, and scores upon it (:meth:`upon`), by the same layers.
    """

    @property
    @abstractmethod
    def reads_target_in_history(self) -> bool:
        """Whether the candidate is part of what is written, so that no state can be kept."""

    @property
    def unservable_quirk(self) -> str | None:
        """The quirk in ``compat`` that a stored state cannot reproduce, or None."""
        return "target" if self.reads_target_in_history else None

    @abstractmethod
    def begin(self, users: int) -> MemoryStateT:
        """The states of users before any event."""

    @abstractmethod
    def advance_(self, pool: MemoryStateT, rows: Tensor, events: Tensor) -> None:
        """Move rows ``[E]`` of a pool by events ``[E, d]``, in place and in the order given."""

    @abstractmethod
    def write(
        self, events: Tensor, lengths: Tensor, state: MemoryStateT | None = None
    ) -> tuple[Tensor, MemoryStateT]:
        """Outputs and the states of U users after events ``[U, T, d]``, from ``state`` or none."""

    def written(self, batch: Batch, query: Tensor) -> MemoryStateT:
        """The states that candidates ``[B, d]`` read: of B users, or of the one of all.

        Where the batch knows of histories that begin alike, what they share is written once.
        """
        if batch.prefix_of is None or self.reads_target_in_history:
            return self.write(*self.histories(batch, query))[1]

        def write(events: Tensor, lengths: Tensor, state: MemoryStateT | None) -> MemoryStateT:
            return self.write(events, lengths, state)[1]

        return states_at(write, *self.embedding.beginnings(batch))

    def histories(self, batch: Batch, query: Tensor) -> tuple[Tensor, Tensor]:
        """What is written: events ``[U, T, d]`` and lengths ``[U]``, U is B or 1."""
        events, lengths = self.embedding.histories(batch)
        if self.reads_target_in_history:
            return with_target(events, lengths, query)
        return events, lengths

    @abstractmethod
    def read(self, state: MemoryStateT, query: Tensor) -> list[Tensor]:
        """What candidates ``[B, d]`` make of the states of B users, or of one."""

    def upon(self, state: MemoryStateT, batch: Batch, query: Tensor | None = None) -> Tensor:
        """``[B, output_dim]``, what the head reads of candidates beside the states of their users.

        Histories of the batch that are written into states are not looked at.

        Args:
            state: of B users, or of the one whom all candidates are shown to.
            batch: B candidates with their context.
            query: the candidates as events, ``[B, d]``, where they are known already.
        """
        asked: Tensor = self.embedding.query(batch) if query is None else query
        return torch.cat([*self.embedding.context(batch), *self.read(state, asked)], -1)
