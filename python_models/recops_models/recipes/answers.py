"""Answers to requests: the best items of each user, among those that a request allows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recops_models.generative.ranker import Ranking, concatenate

if TYPE_CHECKING:
    import pyarrow as pa

    from recops_models.data.dataset import Dataset
    from recops_models.data.event_columns import EventColumn
    from recops_models.recipes.request_events import RequestEvents


@dataclass(frozen=True, eq=False)
class RequestItems:
    """Items that requests may receive, by index.

    Attributes:
        banned: items of each of U requests that it never receives.
        allowed: the only items that each of U requests receives; None: all.
    """

    banned: Sequence[Tensor]
    allowed: Sequence[Tensor] | None = None

    def excluded(self, num_items: int) -> Sequence[Tensor]:
        """Return the items that each request does not receive."""
        if self.allowed is None:
            return self.banned
        excluded = []
        for banned, allowed in zip(self.banned, self.allowed, strict=True):
            is_excluded = torch.ones(num_items, dtype=torch.bool)
            is_excluded[allowed] = False
            is_excluded[banned] = True
            excluded.append(is_excluded.nonzero().squeeze(1))
        return excluded


class Answers(ABC):
    """Model that answers requests.

    Attributes:
        keeps_others: whether an answer depends on the events of other users.
        needs_events: whether a user without events cannot be answered.
    """

    keeps_others = False
    needs_events = True

    @abstractmethod
    def batches(self, events: RequestEvents, items: RequestItems, k: int) -> Iterator[Ranking]:
        """Yield the ``k`` best items of the requests, ``[B, k]`` per batch, in order.

        Args:
            events: the requests; every user has an event if :attr:`needs_events`.
            items: the items of each request.
            k: number of items.
        """

    def rank(self, events: RequestEvents, items: RequestItems, k: int) -> Ranking:
        """Return the ``k`` best items of each request, ``[U, k]``; see :meth:`batches`."""
        return concatenate(list(self.batches(events, items, k)), k)

    def request_columns(self, dataset: Dataset) -> tuple[EventColumn, ...]:
        """Return the event columns of a data set that the model reads at a request."""
        return ()

    def scores(
        self, events: RequestEvents, items: Sequence[Tensor], columns: pa.Table | None = None
    ) -> list[Tensor]:
        """Return the scores f32 of chosen items of each request, on the scale of :meth:`rank`.

        Args:
            events: the requests.
            items: ``[n_u]`` i64 for each of U requests, indices of items.
            columns: ``[Σ n_u]``, columns of :meth:`request_columns` at the moment of each item;
                None: those of the requests.
        """
        nothing = torch.empty(0, dtype=torch.int64)
        most = max((len(chosen.unique()) for chosen in items), default=0)
        only = RequestItems([nothing] * len(items), items)
        ranking = self.rank(events, only, max(1, most))
        scores = []
        for chosen, best, values in zip(items, *ranking, strict=True):
            row = torch.full((events.dataset.items.num_rows,), -torch.inf)
            row[best[best >= 0]] = values[best >= 0].float()
            scores.append(row[chosen])
        return scores
