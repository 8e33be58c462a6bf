"""What ranks the catalogue for a user: any recommender, and those that learn by gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.data.histories import Histories
from recops_models.generative.windows import last_windows

REQUESTS = 64
"""Answered at once. What these need stays near the caches: on Beauty UniRec with 100 beams takes
1.17 ms of a core a user and SASRec .165 ms, with 256 at once 1.57 and .24 ms (one busy core of an
Intel Xeon with AVX-512)."""


class Ranking(NamedTuple):
    """The best items of each user, best first; −1 with score −inf where there are no more.

    Attributes:
        items: ``[U, k]`` i64, item indices.
        scores: ``[U, k]`` f32.
    """

    items: Tensor
    scores: Tensor


class Recommender(nn.Module, ABC):
    """Ranks the catalogue for a user, given what the user met."""

    @abstractmethod
    def recommend(self, histories: Histories, k: int) -> Ranking:
        """The best ``k`` items of each history, none of which is in it."""


class Ranker(Recommender):
    """A recommender that learns which item comes next, and reads the last ``window`` events."""

    num_items: int

    @property
    @abstractmethod
    def window(self) -> int:
        """T: how many past events the loss looks at."""

    @abstractmethod
    def loss(self, history: Tensor, target: Tensor) -> Tensor:
        """Mean negative log-likelihood of ``target[b, t]`` after ``history[b, : t + 1]``.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0.
            target: ``[B, T]`` i64, the same one step on; 0 where there is no target.
        """

    @abstractmethod
    def decode(
        self, history: Tensor, lengths: Tensor, k: int, met: Sequence[Tensor] | None = None
    ) -> Ranking:
        """The ``k`` best items after each history.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0; T is ``window``.
            lengths: ``[B]`` i64, from 1.
            k: how many.
            met: for each of the B, the items (indices from 0) that are left out; None: no items.

        Raises:
            ValueError: a history is empty.
        """

    @torch.no_grad()
    def recommend(self, histories: Histories, k: int, *, batch: int = REQUESTS) -> Ranking:
        """The ``k`` best items of each history, none of which is in it. As it is being trained,
        where it is: dropout is off after :meth:`eval`.
        """
        return concatenate(
            [
                self.decode(*last_windows(some, self.window), k, items_met(some))
                for some in in_batches(histories, batch)
            ],
            k,
        )


def check_lengths(name: str, lengths: Tensor) -> None:
    """That each of some histories holds an event to go by.

    Raises:
        ValueError: one is empty.
    """
    if lengths.numel() and int(lengths.min()) < 1:
        row = int((lengths < 1).nonzero()[0])
        raise ValueError(
            f"{name}: lengths must be 1 or more, got {int(lengths[row])} of history {row}: there "
            "is nothing to go by"
        )


def in_batches(histories: Histories, size: int) -> Iterator[Histories]:
    """``size`` histories at a time, in order."""
    for start in range(0, len(histories), size):
        yield histories.take(np.arange(start, min(start + size, len(histories))))


def concatenate(parts: Sequence[Ranking], k: int) -> Ranking:
    """Rankings of batches of users, ``k`` items each, as one."""
    nobody = Ranking(torch.empty(0, k, dtype=torch.int64), torch.empty(0, k))
    items, scores = zip(nobody, *parts, strict=True)
    return Ranking(torch.cat(items), torch.cat(scores))


def items_met(histories: Histories) -> Sequence[Tensor]:
    """The items of each history."""
    items: Sequence[Tensor] = torch.from_numpy(histories.items).split(histories.lengths.tolist())
    return items


def top_unseen(scores: Tensor, met: Sequence[Tensor] | None, k: int) -> Ranking:
    """The ``k`` best of ``scores [U, N]``, without what each user has met, where −1 is no item."""
    if met:
        user = torch.repeat_interleave(torch.tensor([len(items) for items in met]))
        items = torch.cat(list(met))
        there = items >= 0
        place = (user[there], items[there])
        scores = scores.index_put(place, scores.new_tensor(-torch.inf))
    best = scores.topk(min(k, scores.shape[1]))
    items = best.indices.masked_fill(best.values == -torch.inf, -1)
    missing = (0, k - items.shape[1])
    return Ranking(F.pad(items, missing, value=-1), F.pad(best.values, missing, value=-torch.inf))
