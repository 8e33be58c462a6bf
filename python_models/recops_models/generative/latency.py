"""Latency of one request, by part."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from recops_models.generative.path_ranker import PathRanker, beam_search
from recops_models.generative.ranker import check_lengths
from recops_models.training.device import synchronize

_Result = TypeVar("_Result")

Clock: TypeAlias = Callable[[], float]
"""Returns seconds since a fixed time."""


class Latency(NamedTuple):
    """Milliseconds of a request, each a median over its repetitions.

    Example:
        >>> from recops_models.generative.latency import Latency
        >>> Latency(encode=0.5, steps=1.0, beam=0.25, total=1.75).total
        1.75
    """

    encode: float
    """Encoding of the history."""
    steps: float
    """Logits of all decoding steps, and scores of the items found."""
    beam: float
    """Selection of beams in the trie, and look-up of items."""
    total: float
    """From history to items."""


@torch.no_grad()
def latency(
    model: PathRanker,
    history: Tensor,
    lengths: Tensor,
    *,
    beams: int,
    banned: Sequence[Tensor] | None = None,
    allowed: Sequence[Tensor] | None = None,
    task: int | Tensor = 0,
    user: Tensor | None = None,
    repeats: int = 20,
    clock: Clock = time.perf_counter,
) -> Latency:
    """Measure the latency of requests by part.

    One more request warms up caches and does not count.

    Args:
        model: the ranker.
        history: ``[B, T]`` i64, 1-based items, right-padded with 0, on the device of the model. So
            are the other tensors.
        lengths: ``[B]`` i64, from 1.
        beams: beams per request.
        banned: for each request the items (from 0) to exclude; None: exclude none.
        allowed: for each request the only items (from 0) to return; None: all items.
        task: see :meth:`PathRanker.encode_requests`, as for ``user``.
        user: ``[B]``.
        repeats: measured repetitions.
        clock: ``time.perf_counter`` measures elapsed time; ``time.process_time`` measures CPU time,
            which other processes hardly disturb.

    Raises:
        ValueError: ``repeats`` < 1, or a history is empty.

    Example:
        >>> import torch
        >>> from recops_models.generative.latency import latency
        >>> from recops_models.generative.tiger import TIGER, TIGERConfig
        >>> paths = torch.tensor([[0, 0], [0, 1], [1, 0]])
        >>> config = TIGERConfig(width=8, heads=2, hidden=8, encoder_layers=1, decoder_layers=1)
        >>> model = TIGER(paths, (2, 2), torch.ones(3), config).eval()
        >>> times = latency(model, torch.tensor([[1, 2, 0]]), torch.tensor([2]), beams=3, repeats=2)
        >>> times.total > 0
        True
    """
    if repeats < 1:
        raise ValueError(f"latency: repeats must be 1 or more, got {repeats}")
    check_lengths("latency", lengths)

    def now() -> float:
        """Return the time when the device has finished the work so far."""
        synchronize(history.device)
        return clock()

    rows = []
    for _ in range(repeats + 1):
        timed = _TimedSteps(model, now)
        start = now()
        encoded = model.encode_requests(history, lengths, task, user=user)
        encoded_at = now()
        beam_search(cast(PathRanker, timed), encoded, beams=beams, banned=banned, allowed=allowed)
        end = now()
        search = end - encoded_at
        rows.append((encoded_at - start, timed.seconds, search - timed.seconds, end - start))
    return Latency(*(float(1e3 * seconds) for seconds in np.median(rows[1:], axis=0)))


class _TimedSteps:
    """A ranker's attributes, with a clock around its decoding steps and its rescoring."""

    def __init__(self, model: PathRanker, clock: Clock) -> None:
        self._model, self._clock, self.seconds = model, clock, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def next_token_logits(self, *arguments: Any) -> tuple[Tensor, list[Tensor]]:
        return self._timed(self._model.next_token_logits, *arguments)

    def rescore(self, *arguments: Any) -> Tensor:
        return self._timed(self._model.rescore, *arguments)

    def _timed(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        start = self._clock()
        result = function(*arguments)
        self.seconds += self._clock() - start
        return result
