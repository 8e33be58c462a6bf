"""What spells an item token by token along its path, inside the trie of all paths.

What a request needs is read once; each step then reads that and what its beams keep. The two
functions, :meth:`Speller.read` and :meth:`Speller.spell`, take and give tensors alone, so that what
decodes here in Python can be exported piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

import recops
from recops_models.generative.told import Told

TokensCallback = Callable[[Tensor], None]
"""Told of each step's beams but the last's: the tokens ``[B, M, t]`` i64 so far, from 0; −1 where
a place has none."""


@runtime_checkable
class Speller(Protocol):
    """A ranker whose items are paths.

    Attributes:
        trie: of the paths of the catalogue.
        paths: ``[1 + N, L]`` i64, each item's tokens, from 1; row 0 is padding.
        prior: ``[N]``, decides between items of one path.
    """

    trie: recops.SidTrie
    paths: Tensor
    prior: Tensor

    @property
    def window(self) -> int:
        """T: how many events of a history are read."""
        ...

    @property
    def beams(self) -> int:
        """Paths that a request follows, unless more items are asked for."""
        ...

    def read(self, history: Tensor, lengths: Tensor) -> list[Tensor]:
        """What the decoder reads of requests ``history [B, T]``, ``lengths [B]``; see
        :meth:`~recops_models.generative.ranker.Ranker.decode`.

        Every tensor has the request first, and all beams of a request share it.
        """
        ...

    def spell(
        self,
        read: Sequence[Tensor],
        kept: Sequence[Tensor],
        tokens: Tensor | None,
        parents: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits ``[B, M, V]`` of each beam's next token, and what beams keep for the step after.

        Args:
            read: of :meth:`read`.
            kept: what the step before gave, beams second: ``[B, M', …]`` each; empty at first.
            tokens: ``[B, M]`` i32, by which each beam grew; −1: the beam is dead, and its logits
                are ignored. None at first, when each request has one beam.
            parents: ``[B, M]`` i32, which of the M' beams it was; −1 likewise.
        """
        ...


@runtime_checkable
class Rescorer(Protocol):
    """A speller that has a say of its own on the items found."""

    def rescore(self, read: Sequence[Tensor], items: Tensor) -> Tensor:
        """``[B, k]``: what is added to the scores of ``items [B, k]`` i64, from 0; −1 is none."""
        ...


@runtime_checkable
class ToldSpeller(Speller, Protocol):
    """A speller that reads requests with who asks, and where."""

    @property
    def told(self) -> Told:
        """The tasks and users that it tells apart: histories alone are read as those of nobody, in
        task 0.
        """
        ...

    def read(
        self,
        history: Tensor,
        lengths: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
    ) -> list[Tensor]:
        """See :meth:`Speller.read`; ``task``: of all, or ``[B]``; ``user``: ``[B]``, 1-based."""
        ...


def told_of(model: object) -> Told:
    """What a request must tell a model beside its history: nothing, of one that takes no more."""
    return model.told if isinstance(model, ToldSpeller) else Told()


def search(
    model: Speller,
    read: Sequence[Tensor],
    *,
    beams: int,
    banned: Sequence[Tensor] | None = None,
    watch: TokensCallback | None = None,
) -> recops.BeamResult:
    """The best ``beams`` items of requests that ``model`` has ``read``, by beam search; a
    :class:`Rescorer` puts those that were found in another order.

    Args:
        model: which spells.
        read: of :meth:`Speller.read`.
        beams: paths that are followed, and items that are found.
        banned: for each of the B requests the items (indices from 0) that are left out.
        watch: is told of the beams.

    Raises:
        ValueError: a score that is no number.
    """
    requests, kept = len(read[0]), list[Tensor]()
    prefix = torch.zeros(requests, 1, 0, dtype=torch.int64, device=read[0].device)

    def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        nonlocal kept, prefix
        logits, kept = model.spell(read, kept, tokens, parents)
        if watch is not None and tokens is not None and parents is not None:
            prefix = torch.cat([of_beams(prefix, parents), tokens.long()[..., None]], -1)
            watch(prefix)
        return logits

    found = recops.constrained_beam_search(
        step,
        model.trie,
        batch_size=requests,
        num_beams=beams,
        widths=_widths(model.trie, beams),
        banned=None if banned is None else list(banned),
        item_prior=model.prior,
    )
    if not isinstance(model, Rescorer):
        return found
    scores = found.scores + model.rescore(read, found.item_ids)
    if scores.isnan().any():
        row = int(scores.isnan().any(1).nonzero()[0])
        raise ValueError(f"search: scores of items must be numbers, got nan of request {row}")
    best = scores.sort(dim=-1, descending=True, stable=True)  # Of equal ones as they were found.
    sids = found.sids.gather(1, best.indices[..., None].expand_as(found.sids))
    return recops.BeamResult(found.item_ids.gather(1, best.indices), sids, best.values)


def _widths(trie: recops.SidTrie, beams: int) -> list[int]:
    """Beams after each step: no more than there are paths so long, as the rest would be dead and
    decoded all the same.
    """
    starts = trie.level_starts()
    paths = [end - start for start, end in pairwise(starts[1:])]
    return [max(1, min(beams, count)) for count in paths]


def of_beams(kept: Tensor, parents: Tensor) -> Tensor:
    """``kept [B, M', …]`` of each beam's parent, ``parents [B, M]``; a dead beam has some other's,
    and the search ignores what comes of it.
    """
    row = parents.long().clamp(min=0).reshape(*parents.shape, *[1] * (kept.dim() - 2))
    # take_along_dim would do as well, but it traces batch sizes as constants.
    return kept.gather(1, row.expand(-1, -1, *kept.shape[2:]))
