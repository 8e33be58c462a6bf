"""Rankers that generate an item as a path of tokens, and the beam search over all paths.

A request is encoded once; each decoding step then reads the encoded request and the state of its
beams. :meth:`PathRanker.encode_requests` and :meth:`PathRanker.next_token_logits` take and return
tensors only, so that ``recops export`` can compile them one by one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

import recops
from recops_models.data.histories import Histories
from recops_models.generative.ranker import (
    REQUESTS,
    Ranker,
    Ranking,
    Recommender,
    check_lengths,
    concatenate,
    in_batches,
    in_input_order,
    order_by_length,
    seen_items,
)
from recops_models.generative.windows import request_windows

GradScope: TypeAlias = Literal["all", "last_step", "last_head"]
"""Parameters that receive a gradient from a path's log-probabilities.

``"all"``: every step; ``"last_step"``: the last step only, with its encoder and decoder;
``"last_head"``: the output head of the last step only.
"""

BeamCallback: TypeAlias = Callable[[Tensor], None]
"""Receives the beams after each step except the last: their tokens ``[B, M, t]`` i64, from 0; −1
marks a dead beam."""


@dataclass(frozen=True)
class RequestInputs:
    """Inputs that a model reads in addition to the history.

    Attributes:
        tasks: number of tasks that the model distinguishes; 0 if it reads no task.
        users: number of users whose fields the model stores; 0 if it reads no user.

    Example:
        >>> from recops_models.generative.path_ranker import RequestInputs
        >>> RequestInputs(tasks=3).names
        ('task',)
    """

    tasks: int = 0
    users: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs: ``task``, then ``user``."""
        counts = {"task": self.tasks, "user": self.users}
        return tuple(name for name, count in counts.items() if count)


class PathRanker(Ranker):
    """Ranker that generates an item token by token.

    ``log p(item | history, task) = Σ_t log p(x_t | x_<t, history, task)`` along the item's path.
    The paths of all items form a trie; beam search in it returns the best items.

    Attributes:
        trie: the paths of the catalogue.
        paths: ``[1 + N, S]`` i64, tokens of each item, counted from 1; row 0 is padding.
        prior: ``[N]`` f32; among items with one path, higher ranks first.
        rescores: whether :meth:`rescore` adds to the scores of the items found.

    Example:
        >>> import torch
        >>> from recops_models.generative.path_ranker import PathRanker
        >>> from recops_models.generative.tiger import TIGER, TIGERConfig
        >>> paths = torch.tensor([[0, 0], [0, 1], [1, 0]])
        >>> config = TIGERConfig(width=8, heads=2, hidden=8, encoder_layers=1, decoder_layers=1)
        >>> model: PathRanker = TIGER(paths, (2, 2), torch.ones(3), config).eval()
        >>> ranking = model.decode(torch.tensor([[1, 2, 0]]), torch.tensor([2]), k=3)
        >>> sorted(ranking.items[0].tolist())
        [0, 1, 2]
    """

    trie: recops.SidTrie
    paths: Tensor
    prior: Tensor
    rescores: ClassVar[bool] = False

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PathRanker:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch does not annotate it.
        self.trie = self.trie.to(self.paths.device)
        return self

    @abstractmethod
    def with_paths(self, rows: Tensor, paths: Tensor, *, prior: Tensor | None = None) -> PathRanker:
        """Return this model over other items.

        Args:
            rows: ``[N']`` i64, the present index of each item; −1: a new item.
            paths: ``[N', S]`` integers, tokens of each item, from 0.
            prior: ``[N']``, number of training events per item; None: that of training, 0 for a new
                item.
        """

    @property
    @abstractmethod
    def beams(self) -> int:
        """Beams per request; a request for more items uses more."""

    @property
    def ranks_beams_only(self) -> bool:
        """True (the default) if a request ranks only items that its beams find."""
        return True

    @property
    def inputs(self) -> RequestInputs:
        """Inputs that requests need in addition to the history; none by default."""
        return RequestInputs()

    @abstractmethod
    def path_log_probs(
        self,
        history: Tensor,
        target: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
        scope: GradScope = "all",
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return ``log p(x_t | x_<t, history, task)`` of the targets, ``[targets, S]``.

        Row i belongs to the i-th non-zero entry of ``target`` in row-major order. The sum of a row
        is ``log p(item)``, the score of beam search.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0.
            target: ``[B, T]`` i64; ``target[b, t]`` follows ``history[b, : t + 1]``; 0: no target.
            task: one task for all, or ``[B]``, or ``[B, T]``.
            user: ``[B]`` i64, 1-based; 0 or None: unknown.
            scope: parameters that receive a gradient; the values do not depend on it.
            rows: result of :func:`~recops_models.generative.windows.target_rows`, if known.

        Raises:
            ValueError: ``task`` has another shape, or is out of range. The range is checked on the
                CPU only.
        """

    def target_log_probs(
        self,
        history: Tensor,
        target: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return the training objective per target, ``[targets]``: ``log p(item)`` by default.

        The order is that of :meth:`path_log_probs`. A model may subtract further losses.
        """
        return self.path_log_probs(history, target, task, user=user, rows=rows).sum(-1)

    @abstractmethod
    def encode_requests(
        self,
        history: Tensor,
        lengths: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
    ) -> list[Tensor]:
        """Return the tensors that decoding reads; their first dimension is the request.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0.
            lengths: ``[B]`` i64, from 1.
            task: one task for all, or ``[B]``.
            user: ``[B]`` i64, 1-based; 0 or None: unknown.
        """

    @abstractmethod
    def next_token_logits(
        self,
        encoded: Sequence[Tensor],
        state: Sequence[Tensor],
        tokens: Tensor | None,
        parents: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the logits ``[B, M, V]`` of each beam's next token, and the new beam state.

        Args:
            encoded: from :meth:`encode_requests`.
            state: beam state of the previous step, ``[B, M', …]`` each; empty at the first step.
            tokens: ``[B, M]`` i32, last token of each beam, from 0; −1: a dead beam, whose logits
                are ignored. None at the first step, where each request has one beam.
            parents: ``[B, M]`` i32, the beam among M' that each beam extends; −1: a dead beam.
        """

    def rescore(self, encoded: Sequence[Tensor], items: Tensor) -> Tensor:
        """Return ``[B, k]``, added to the path scores of ``items [B, k]`` i64, from 0; −1: none.

        Raises:
            NotImplementedError: the model does not rescore.
        """
        raise NotImplementedError(f"{type(self).__name__} does not rescore items")

    def decode(
        self,
        history: Tensor,
        lengths: Tensor,
        k: int,
        excluded: Sequence[Tensor] | None = None,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
        allowed: Sequence[Tensor] | None = None,
    ) -> Ranking:
        """Return the ``k`` best items that beam search finds; see :meth:`Ranker.decode`.

        Scores are ``log p(path)``, plus :meth:`rescore` where the model has it.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0; T is at most ``window``.
            lengths: ``[B]`` i64, from 1.
            k: number of items.
            excluded: for each request the items (from 0) to exclude; None: exclude none.
            task: one task for all, or ``[B]``.
            user: ``[B]`` i64, 1-based; 0 or None: unknown.
            allowed: for each request the only items (from 0) to return; None: all items.

        Raises:
            ValueError: a history is empty, or ``task`` is out of range.
        """
        check_lengths(type(self).__name__, lengths)
        encoded = self.encode_requests(history, lengths, task, user=user)
        ranking = self.rank_encoded(encoded, max(k, self.beams), excluded, allowed)
        return Ranking(ranking.items[:, :k], ranking.scores[:, :k])

    def rank_encoded(
        self,
        encoded: Sequence[Tensor],
        beams: int,
        excluded: Sequence[Tensor] | None,
        allowed: Sequence[Tensor] | None,
    ) -> Ranking:
        """Return at least ``beams`` items of encoded requests, best first: those of beam search.

        Args:
            encoded: result of :meth:`encode_requests`.
            beams: number of beams.
            excluded: see :meth:`decode`.
            allowed: see :meth:`decode`.
        """
        result = beam_search(self, encoded, beams=beams, banned=excluded, allowed=allowed)
        return Ranking(result.item_ids, result.scores)


class Requests(Recommender):
    """Path ranker with a fixed task and user for each request.

    Args:
        model: the ranker.
        task: ``[U]`` i64, task of each history given to :meth:`recommend`.
        user: ``[U]`` i64, 1-based.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.path_ranker import Requests
        >>> from recops_models.generative.unirec import UniRec, UniRecConfig
        >>> config = UniRecConfig(num_attributes=0, history=4, width=8, heads=2, objectives=2)
        >>> paths = torch.tensor([[0, 0], [0, 1], [1, 0]])
        >>> model = UniRec(paths, (2, 2), torch.ones(3), config).eval()
        >>> one_user = Histories(np.array([0, 1]), items=np.array([0]), rows=np.array([0]))
        >>> requests = Requests(model, task=torch.tensor([1]), user=torch.tensor([0]))
        >>> sorted(requests.recommend(one_user, k=2).items[0].tolist())
        [1, 2]
    """

    def __init__(self, model: PathRanker, task: Tensor, user: Tensor) -> None:
        super().__init__()
        self.model, self.task, self.user = model, task, user

    @torch.no_grad()
    def recommend(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        batch: int = REQUESTS,
    ) -> Ranking:
        """See :meth:`Ranker.recommend`."""
        model, device, parts = self.model, self.model.device, list[Ranking]()
        check_lengths(type(model).__name__, torch.from_numpy(histories.lengths))
        order = order_by_length(histories, model.window)
        tasks, users = (
            values[torch.from_numpy(order)].to(device).split(batch) if len(values) else ()
            for values in (self.task, self.user)
        )
        batches = in_batches(histories, batch, order)
        for part, task, user in zip(batches, tasks, users, strict=True):
            history, lengths = request_windows(part, model.window, device)
            excluded = seen_items(part, device) if exclude_seen else None
            parts.append(model.decode(history, lengths, k, excluded, task, user=user))
        return in_input_order(concatenate(parts, k), order)


def beam_search(
    model: PathRanker,
    encoded: Sequence[Tensor],
    *,
    beams: int,
    banned: Sequence[Tensor] | None = None,
    allowed: Sequence[Tensor] | None = None,
    on_step: BeamCallback | None = None,
) -> recops.BeamResult:
    """Return the ``beams`` best items of encoded requests, by beam search in the model's trie.

    If the model rescores, the items are sorted by the sum of both scores; equal sums keep the order
    of beam search.

    Args:
        model: the ranker.
        encoded: result of :meth:`PathRanker.encode_requests`.
        beams: number of beams, and of items returned.
        banned: for each of the B requests, the items (from 0) to exclude.
        allowed: for each of the B requests, the only items (from 0) to return; None: all items.
        on_step: receives the beams after each step except the last.

    Raises:
        ValueError: rescoring returns NaN.

    Example:
        >>> import torch
        >>> from recops_models.generative.path_ranker import beam_search
        >>> from recops_models.generative.tiger import TIGER, TIGERConfig
        >>> paths = torch.tensor([[0, 0], [0, 1], [1, 0]])
        >>> config = TIGERConfig(width=8, heads=2, hidden=8, encoder_layers=1, decoder_layers=1)
        >>> model = TIGER(paths, (2, 2), torch.ones(3), config).eval()
        >>> encoded = model.encode_requests(torch.tensor([[1, 2, 0]]), torch.tensor([2]))
        >>> result = beam_search(model, encoded, beams=2, allowed=[torch.tensor([0, 2])])
        >>> sorted(result.item_ids[0].tolist())
        [0, 2]
    """
    requests, state = len(encoded[0]), list[Tensor]()
    prefix = torch.zeros(requests, 1, 0, dtype=torch.int64, device=encoded[0].device)

    def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        nonlocal state, prefix
        logits, state = model.next_token_logits(encoded, state, tokens, parents)
        if on_step is not None and tokens is not None and parents is not None:
            prefix = torch.cat([gather_beams(prefix, parents), tokens.long()[..., None]], -1)
            on_step(prefix)
        return logits

    result = recops.constrained_beam_search(
        step,
        model.trie,
        batch_size=requests,
        num_beams=beams,
        widths=_widths(model.trie, beams),
        banned=None if banned is None else list(banned),
        allowed=None if allowed is None else model.trie.mask(keep=list(allowed)),
        item_prior=model.prior,
    )
    if not model.rescores:
        return result
    scores = result.scores + model.rescore(encoded, result.item_ids)
    if scores.isnan().any():
        row = int(scores.isnan().any(1).nonzero()[0])
        raise ValueError(f"beam_search: item scores must be numbers, got NaN in request {row}")
    best = scores.sort(dim=-1, descending=True, stable=True)
    sids = result.sids.gather(1, best.indices[..., None].expand_as(result.sids))
    return recops.BeamResult(result.item_ids.gather(1, best.indices), sids, best.values)


def _widths(trie: recops.SidTrie, beams: int) -> list[int]:
    """Return the number of beams after each step: at most the number of trie nodes at its depth.

    Further beams would be dead, and still be decoded.
    """
    starts = trie.level_starts()
    nodes = [end - start for start, end in pairwise(starts[1:])]
    return [max(1, min(beams, count)) for count in nodes]


def gather_beams(state: Tensor, parents: Tensor) -> Tensor:
    """Return ``state [B, M', …]`` of each beam's parent, for ``parents [B, M]``.

    A dead beam (parent −1) gets the state of beam 0; the search ignores its logits.

    Example:
        >>> import torch
        >>> from recops_models.generative.path_ranker import gather_beams
        >>> state = torch.tensor([[[10], [20]]])
        >>> gather_beams(state, parents=torch.tensor([[1, 1, 0]])).tolist()
        [[[20], [20], [10]]]
    """
    row = parents.long().clamp(min=0).reshape(*parents.shape, *[1] * (state.dim() - 2))
    # torch.take_along_dim would trace the batch size as a constant in torch.export.
    return state.gather(1, row.expand(-1, -1, *state.shape[2:]))
