"""What click models have in common whose user is a memory, written apart from requests."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor

import recops
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch

State = TypeVar("State", recops.MimnState, recops.HpmnState)


class MemoryModel(ClickModel, Generic[State]):
    """A click model that reads a user's state where others read the history.

    Training writes the state of a history in one scan; a store of states moves it event by event
    (:meth:`advance_`), to the same bits, and scores upon it (:meth:`upon`), by the same layers.
    """

    @property
    @abstractmethod
    def reads_target_in_history(self) -> bool:
        """Whether the candidate is part of what is written, so that no state can be kept."""

    @abstractmethod
    def begin(self, users: int) -> State:
        """The states of users before any event."""

    @abstractmethod
    def advance_(self, pool: State, rows: Tensor, events: Tensor) -> None:
        """Move rows ``[E]`` of a pool by events ``[E, d]``, in place and in the order given."""

    @abstractmethod
    def read(self, state: State, query: Tensor) -> list[Tensor]:
        """What candidates ``[B, d]`` make of the states of B users, or of one."""

    def upon(self, state: State, batch: Batch, query: Tensor | None = None) -> Tensor:
        """``[B, output_dim]``, what the head reads of candidates beside the states of their users.

        Histories of the batch that are written into states are not looked at.

        Args:
            state: of B users, or of the one whom all candidates are shown to.
            batch: B candidates with their context.
            query: the candidates as events, ``[B, d]``, where they are known already.
        """
        asked: Tensor = self.embedding.query(batch) if query is None else query
        return torch.cat([*self.embedding.context(batch), *self.read(state, asked)], -1)
