"""Rankers that spell an item as a path of tokens, and say how likely each token is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from recops_models.data.histories import Histories
from recops_models.generative.ranker import (
    REQUESTS,
    Ranker,
    Ranking,
    Recommender,
    concatenate,
    in_batches,
    items_met,
)
from recops_models.generative.windows import last_windows

GradScope: TypeAlias = Literal["all", "last_step", "last_head"]
"""What the gradient of a path's log-probabilities reaches: everything; what the last step's comes
from, the other steps being constants; the head of the last step alone, its inputs constants too."""


class PathRanker(Ranker):
    """``log p(item | history, task) = Σ_t log p(x_t | x_<t, history, task)``."""

    @abstractmethod
    def path_log_probs(
        self,
        history: Tensor,
        target: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
        scope: GradScope = "all",
    ) -> Tensor:
        """``log p(x_t | x_<t, history, task)`` of given items, ``[targets, steps]``.

        Row i is the i-th entry of ``target`` that is not 0, in row-major order; the sum of a row is
        ``log p(item)``, what beam search scores by.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0.
            target: ``[B, T]`` i64; target t is asked about after history items up to t; 0: nothing
                is asked.
            task: of all, ``[B]`` or ``[B, T]``.
            user: ``[B]`` i64, 1-based; 0 or None: nobody.
            scope: what a gradient reaches; the values are the same.

        Raises:
            ValueError: there is no such task, or ``task`` has another shape.
        """

    def target_log_probs(
        self,
        history: Tensor,
        target: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
    ) -> Tensor:
        """``[targets]``: ``log p(item)``, in the order of :meth:`path_log_probs`, less what else a
        model charges for a target.
        """
        return self.path_log_probs(history, target, task, user=user).sum(-1)

    @abstractmethod
    def decode(
        self,
        history: Tensor,
        lengths: Tensor,
        k: int,
        met: Sequence[Tensor] | None = None,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
    ) -> Ranking:
        """See :meth:`Ranker.decode`; ``task``: of all, or ``[B]``; ``user``: ``[B]``, 1-based."""


class Requests(Recommender):
    """A path ranker that is told who asks, and where.

    Args:
        model: what answers.
        task: ``[U]`` i64, the scene of each history that :meth:`recommend` is asked about.
        user: ``[U]`` i64, 1-based.
    """

    def __init__(self, model: PathRanker, task: Tensor, user: Tensor) -> None:
        super().__init__()
        self.model, self.task, self.user = model, task, user

    @torch.no_grad()
    def recommend(self, histories: Histories, k: int, *, batch: int = REQUESTS) -> Ranking:
        """See :meth:`Recommender.recommend`."""
        task, user = (told.split(batch) if len(told) else () for told in (self.task, self.user))
        return concatenate(
            [
                self.model.decode(
                    *last_windows(some, self.model.window), k, items_met(some), where, user=who
                )
                for some, where, who in zip(in_batches(histories, batch), task, user, strict=True)
            ],
            k,
        )
