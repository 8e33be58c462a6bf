"""Timing that holds on a noisy machine: sides interleaved, minimum against minimum."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence

from recops.benchmarks.registry import Thunk


def interleave_all(
    sides: Sequence[Thunk], *, rounds: int = 150, seconds: float = 2.0, at_least: int = 3
) -> list[float]:
    """The shortest time of each side in seconds, run A B C A B C … in one process.

    Stops after ``rounds`` rounds or ``seconds`` of wall time, whichever comes first, but not before
    ``at_least`` rounds. Each side runs once untimed first; the garbage collector rests meanwhile. A
    ratio of such minima varies about 3 % where a single mean varies 45 % (two shared cores, Zen 4).
    """
    for side in sides:
        side()
    best = [float("inf")] * len(sides)
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for done in range(rounds):
            if done >= at_least and time.perf_counter() - start > seconds:
                break
            for index, side in enumerate(sides):
                before = time.perf_counter()
                side()
                best[index] = min(best[index], time.perf_counter() - before)
    finally:
        if collecting:
            gc.enable()
    return best


def interleave(
    run: Thunk, peer: Thunk, *, pairs: int = 150, seconds: float = 2.0, at_least: int = 3
) -> tuple[float, float]:
    """The shortest times ``(run, peer)`` of two interleaved sides; see :func:`interleave_all`."""
    first, second = interleave_all([run, peer], rounds=pairs, seconds=seconds, at_least=at_least)
    return first, second
