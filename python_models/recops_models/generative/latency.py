"""How long one request takes, part by part."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recops_models.generative.ranker import check_lengths
from recops_models.generative.speller import Rescorer, Speller, ToldSpeller, search

Clock = Callable[[], float]
"""Seconds since some moment."""


class Latency(NamedTuple):
    """Milliseconds of a request, each a median over its repetitions."""

    encode: float
    """To read the history, once."""
    steps: float
    """The model's logits, of all steps together, and its say on the items found."""
    beam: float
    """The rest: the beams' choice in the trie, and the look-up of items."""
    total: float
    """From history to items."""


@torch.no_grad()
def latency(
    model: Speller,
    history: Tensor,
    lengths: Tensor,
    *,
    beams: int,
    banned: Sequence[Tensor] | None = None,
    task: int | Tensor = 0,
    user: Tensor | None = None,
    repeats: int = 20,
    clock: Clock = time.perf_counter,
) -> Latency:
    """Of requests ``history [B, T]``, ``lengths [B]``; see :class:`Speller`. The first repetition,
    which warms caches up, does not count. ``time.process_time`` as the clock tells what is
    computed, whoever else is on the machine. ``task`` and ``user`` are told to a
    :class:`ToldSpeller`.

    Raises:
        ValueError: no repetition, or an empty history.
    """
    if repeats < 1:
        raise ValueError(f"latency: repeats must be 1 or more, got {repeats}")
    check_lengths("latency", lengths)

    def encode() -> list[Tensor]:
        if isinstance(model, ToldSpeller):
            return model.read(history, lengths, task, user=user)
        return model.read(history, lengths)

    rows = []
    for _ in range(repeats + 1):
        timed = (_TimedRescorer if isinstance(model, Rescorer) else _Timed)(model, clock)
        begun = clock()
        read = encode()
        encoded = clock()
        search(timed, read, beams=beams, banned=banned)
        done = clock()
        rows.append((encoded - begun, timed.seconds, done - encoded - timed.seconds, done - begun))
    return Latency(*(1e3 * np.median(rows[1:], axis=0)).tolist())


class _Timed:
    """A speller that counts the seconds of its steps."""

    def __init__(self, model: Speller, clock: Clock) -> None:
        self.trie, self.paths, self.prior = model.trie, model.paths, model.prior
        self.window, self.beams = model.window, model.beams
        self.read, self._spell = model.read, model.spell
        self.seconds, self._clock = 0.0, clock

    def spell(
        self,
        read: Sequence[Tensor],
        kept: Sequence[Tensor],
        tokens: Tensor | None,
        parents: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        begun = self._clock()
        out = self._spell(read, kept, tokens, parents)
        self.seconds += self._clock() - begun
        return out


class _TimedRescorer(_Timed):
    """One that rescores as well."""

    def __init__(self, model: Speller, clock: Clock) -> None:
        super().__init__(model, clock)
        assert isinstance(model, Rescorer)
        self._rescore = model.rescore

    def rescore(self, read: Sequence[Tensor], items: Tensor) -> Tensor:
        begun = self._clock()
        out = self._rescore(read, items)
        self.seconds += self._clock() - begun
        return out
