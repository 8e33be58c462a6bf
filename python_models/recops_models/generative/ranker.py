"""Contracts of recommenders and of trained rankers, and helpers to answer requests in batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops._host import reads_are_free
from recops_models.data.histories import Histories, Int64Array
from recops_models.generative.windows import request_windows

REQUESTS = 64
"""Requests per batch. Larger batches no longer fit the caches and are slower per request."""


class Ranking(NamedTuple):
    """The best items of each user, best first.

    Attributes:
        items: ``[U, k]`` i64, item indices; −1 if there are fewer than k items.
        scores: ``[U, k]`` f32; −inf for −1.

    Example:
        >>> import torch
        >>> from recops_models.generative.ranker import Ranking
        >>> ranking = Ranking(items=torch.tensor([[2, 0]]), scores=torch.tensor([[0.9, 0.1]]))
        >>> ranking.items[:, 0]  # the best item of each user
        tensor([2])
    """

    items: Tensor
    scores: Tensor


class Recommender(nn.Module, ABC):
    """Model that ranks the catalogue for a user's history.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.ranker import Recommender, seen_items, top_unseen
        >>> class Newest(Recommender):
        ...     def recommend(self, histories, k, *, exclude_seen=True):
        ...         scores = torch.arange(5.0).expand(len(histories), -1)
        ...         return top_unseen(scores, seen_items(histories) if exclude_seen else None, k)
        >>> one_user = Histories(np.array([0, 1]), items=np.array([4]), rows=np.array([0]))
        >>> Newest().recommend(one_user, k=2).items
        tensor([[3, 2]])
    """

    num_items: int

    @property
    def device(self) -> torch.device:
        """Device of the model's tensors, and of its inputs."""
        tensors = chain(self.parameters(), self.buffers())
        return next((tensor.device for tensor in tensors), torch.get_default_device())

    @abstractmethod
    def recommend(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """Return the ``k`` best items after each history.

        Args:
            histories: U histories.
            k: number of items.
            exclude_seen: leave out the items of each history.
        """

    def with_items(self, rows: Tensor) -> Recommender:
        """Return this model over other items; see :mod:`recops_models.generative.item_rows`.

        Args:
            rows: ``[N']`` i64, the present index of each item; −1: a new item.

        Raises:
            NotImplementedError: the model needs more than the rows.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot change its items")


class Ranker(Recommender):
    """Recommender trained to predict the next item from the last ``window`` events.

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.ranker import Ranker
        >>> from recops_models.generative.sasrec import SASRec, SASRecConfig
        >>> model: Ranker = SASRec(3, SASRecConfig(history=4, width=8)).eval()
        >>> one_user = Histories(np.array([0, 1]), items=np.array([0]), rows=np.array([0]))
        >>> sorted(model.recommend(one_user, k=2).items[0].tolist())
        [1, 2]
    """

    @property
    @abstractmethod
    def window(self) -> int:
        """T, the number of events that are read."""

    @abstractmethod
    def loss(self, history: Tensor, target: Tensor, *, rows: Tensor | None = None) -> Tensor:
        """Return the mean negative log-likelihood of the targets.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0.
            target: ``[B, T]`` i64; ``target[b, t]`` follows ``history[b, : t + 1]``; 0: no target.
            rows: result of :func:`~recops_models.generative.windows.target_rows`, if known.
        """

    @abstractmethod
    def decode(
        self, history: Tensor, lengths: Tensor, k: int, excluded: Sequence[Tensor] | None = None
    ) -> Ranking:
        """Return the ``k`` best items after each history.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0; T is at most ``window``.
            lengths: ``[B]`` i64, from 1.
            k: number of items.
            excluded: for each of the B histories the items (from 0) to exclude; None: exclude none.

        Raises:
            ValueError: a history is empty.
        """

    def item_vectors(self) -> Tensor:
        """Return the vectors of all items, ``[N, d]``; similar items have similar directions.

        Raises:
            NotImplementedError: the model has no item vectors.
        """
        raise NotImplementedError(f"{type(self).__name__} has no item vectors")

    @torch.no_grad()
    def recommend(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        batch: int = REQUESTS,
    ) -> Ranking:
        """Return the ``k`` best items after each history; see :meth:`Recommender.recommend`.

        The mode of the module is kept: call :meth:`eval` first to switch dropout off. The result is
        on the host. Histories of similar length are decoded together, which saves padding.

        Raises:
            ValueError: a history is empty.
        """
        check_lengths(type(self).__name__, torch.from_numpy(histories.lengths))
        device, parts = self.device, []
        order = order_by_length(histories, self.window)
        for part in in_batches(histories, batch, order):
            history, lengths = request_windows(part, self.window, device)
            excluded = seen_items(part, device) if exclude_seen else None
            parts.append(self.decode(history, lengths, k, excluded))
        return in_input_order(concatenate(parts, k), order)


def check_lengths(name: str, lengths: Tensor) -> None:
    """Check that no history is empty, if ``lengths`` are on the CPU.

    Args:
        name: the caller's name, for the error.
        lengths: ``[B]`` integers.

    Raises:
        ValueError: a length is below 1.

    Example:
        >>> import torch
        >>> from recops_models.generative.ranker import check_lengths
        >>> check_lengths("SASRec", torch.tensor([3, 0]))
        Traceback (most recent call last):
            ...
        ValueError: SASRec: lengths must be 1 or more, got 0 for history 1
    """
    if lengths.numel() and reads_are_free(lengths) and int(lengths.min()) < 1:
        row = int((lengths < 1).nonzero()[0])
        raise ValueError(
            f"{name}: lengths must be 1 or more, got {int(lengths[row])} for history {row}"
        )


def in_batches(
    histories: Histories, size: int, order: Int64Array | None = None
) -> Iterator[Histories]:
    """Yield consecutive parts of at most ``size`` histories, in their order or in ``order [U]``.

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.ranker import in_batches
        >>> histories = Histories(np.arange(6), items=np.arange(5), rows=np.arange(5))
        >>> [len(batch) for batch in in_batches(histories, size=2)]
        [2, 2, 1]
    """
    order = np.arange(len(histories)) if order is None else order
    for start in range(0, len(histories), size):
        yield histories.take(order[start : start + size])


def order_by_length(histories: Histories, window: int) -> Int64Array:
    """Return the indices ``[U]`` of histories by the length of their last ``window`` events.

    Equal lengths keep their order. Consecutive batches in this order have little padding.

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.ranker import order_by_length
        >>> histories = Histories(np.array([0, 4, 7, 8]), items=np.arange(8), rows=np.arange(8))
        >>> order_by_length(histories, window=3)
        array([2, 0, 1])
    """
    return np.argsort(np.minimum(histories.lengths, window), kind="stable")


def in_input_order(ranking: Ranking, order: Int64Array) -> Ranking:
    """Return the ranking of histories ``0 … U − 1`` from that of histories ``order [U]``.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from recops_models.generative.ranker import Ranking, in_input_order
        >>> ranking = Ranking(items=torch.tensor([[5], [6], [7]]), scores=torch.zeros(3, 1))
        >>> in_input_order(ranking, order=np.array([2, 0, 1])).items[:, 0]
        tensor([6, 7, 5])
    """
    position = torch.from_numpy(np.argsort(order))
    return Ranking(ranking.items[position], ranking.scores[position])


def concatenate(parts: Sequence[Ranking], k: int) -> Ranking:
    """Return the rankings of all users of ``parts`` on the host, ``k`` items each.

    ``parts`` may be empty.

    Example:
        >>> import torch
        >>> from recops_models.generative.ranker import Ranking, concatenate
        >>> one_user = Ranking(items=torch.tensor([[2, 0]]), scores=torch.tensor([[0.9, 0.1]]))
        >>> concatenate([one_user, one_user], k=2).items
        tensor([[2, 0],
                [2, 0]])
    """
    from recops_models.training.device import to_host  # Loading a model needs no training code.

    empty = Ranking(torch.empty(0, k, dtype=torch.int64), torch.empty(0, k))
    items, scores = zip(empty, *map(to_host, parts), strict=True)
    return Ranking(torch.cat(items), torch.cat(scores))


def seen_items(histories: Histories, device: torch.device | None = None) -> Sequence[Tensor]:
    """Return the items of each history, one tensor per history, on ``device`` (default: host).

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.ranker import seen_items
        >>> histories = Histories(np.array([0, 2, 3]), items=np.array([2, 0, 2]), rows=np.arange(3))
        >>> seen_items(histories)
        (tensor([2, 0]), tensor([2]))
    """
    lengths = [int(length) for length in histories.lengths]
    items: Sequence[Tensor] = torch.from_numpy(histories.items).to(device).split(lengths)
    return items


def top_unseen(scores: Tensor, excluded: Sequence[Tensor] | None, k: int) -> Ranking:
    """Return the ``k`` best of ``scores [U, N]``.

    Args:
        scores: ``[U, N]``.
        excluded: for each user the items to exclude; −1 is ignored. None: exclude none.
        k: number of items.

    Example:
        >>> import torch
        >>> from recops_models.generative.ranker import top_unseen
        >>> top_unseen(torch.tensor([[0.5, 2.0, 1.0]]), excluded=[torch.tensor([1])], k=2)
        Ranking(items=tensor([[2, 0]]), scores=tensor([[1.0000, 0.5000]]))
    """
    if excluded:
        items = torch.cat(list(excluded))
        counts = torch.tensor([len(each) for each in excluded], device=items.device)
        user = torch.repeat_interleave(counts, output_size=len(items))
        columns = scores.shape[1]  # A column more, for −1.
        index = (user, items.where(items >= 0, columns))
        scores = F.pad(scores, (0, 1)).index_put_(index, scores.new_full((), -torch.inf))
        scores = scores[:, :columns]
    best = scores.topk(min(k, scores.shape[1]))
    items = best.indices.masked_fill(best.values == -torch.inf, -1)
    missing = (0, k - items.shape[1])
    return Ranking(F.pad(items, missing, value=-1), F.pad(best.values, missing, value=-torch.inf))
