"""Base class of click models that keep a user's history as a state."""

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
    """Click model that reads a user's state instead of the history.

    Training computes the state of a history in one scan. A store of states updates it event by
    event (:meth:`advance_`) to the same bits and scores candidates with it
    (:meth:`bottom_from_state`).

    Example:
        >>> import torch
        >>> from recops_models.click.hpmn import Hpmn, HpmnConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = Hpmn(schema, HpmnConfig(width=4, state=8)).eval().requires_grad_(False)
        >>> state = model.initial_state(users=3)
        >>> event = {"history_item": torch.tensor([2]), "history_category": torch.tensor([2])}
        >>> model.advance_(state, torch.tensor([0]), model.embedding.events(event))
        >>> state.count.tolist()
        [1, 0, 0]
        >>> model.logits(model.bottom_from_state(state, batch)).shape
        torch.Size([3])
    """

    @property
    @abstractmethod
    def reads_target_in_history(self) -> bool:
        """True if the candidate is the last event of the history; then no state can be stored."""

    @property
    def unservable_quirk(self) -> str | None:
        """Name of the quirk in ``compat`` that a stored state cannot reproduce, or None."""
        return "target" if self.reads_target_in_history else None

    @abstractmethod
    def initial_state(self, users: int) -> MemoryStateT:
        """Return the states of users without events."""

    @abstractmethod
    def advance_(self, pool: MemoryStateT, rows: Tensor, events: Tensor) -> None:
        """Update rows ``[E]`` of a pool with events ``[E, d]``, in place and in the given order."""

    @abstractmethod
    def write(
        self, events: Tensor, lengths: Tensor, state: MemoryStateT | None = None
    ) -> tuple[Tensor, MemoryStateT]:
        """Return outputs and states of U users after events ``[U, T, d]``.

        Args:
            events: ``[U, T, d]``.
            lengths: ``[U]``.
            state: state of the users before these events; None: the empty state.
        """

    def batch_state(self, batch: Batch, query: Tensor) -> MemoryStateT:
        """Return the states that candidates ``[B, d]`` read: of B users, or of one for a request.

        If the batch has ``prefix_of``, shared beginnings of histories are written once.
        """
        if batch.prefix_of is None or self.reads_target_in_history:
            return self.write(*self.histories(batch, query))[1]

        def write(events: Tensor, lengths: Tensor, state: MemoryStateT | None) -> MemoryStateT:
            return self.write(events, lengths, state)[1]

        return states_at(write, *self.embedding.beginnings(batch))

    def histories(self, batch: Batch, query: Tensor) -> tuple[Tensor, Tensor]:
        """Return the events ``[U, T, d]`` to write and their lengths ``[U]``; U is B or 1."""
        events, lengths = self.embedding.histories(batch)
        if self.reads_target_in_history:
            return with_target(events, lengths, query)
        return events, lengths

    @abstractmethod
    def read(self, state: MemoryStateT, query: Tensor) -> list[Tensor]:
        """Return the columns that candidates ``[B, d]`` read from states of B users, or of one."""

    def bottom_from_state(
        self, state: MemoryStateT, batch: Batch, query: Tensor | None = None
    ) -> Tensor:
        """Return the head's input ``[B, output_dim]`` for candidates and users' states.

        The history features of the batch are not read.

        Args:
            state: state of B users, or of the only user of all candidates.
            batch: B candidates with their context.
            query: the candidates as events, ``[B, d]``; None: they are looked up.
        """
        candidates: Tensor = self.embedding.query(batch) if query is None else query
        return torch.cat([*self.embedding.context(batch), *self.read(state, candidates)], -1)
