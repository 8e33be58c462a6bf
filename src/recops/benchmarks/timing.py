"""Timing for noisy machines: interleaved sides, compared by their minima."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence

from recops.benchmarks.registry import Thunk


def interleave_all(
    sides: Sequence[Thunk], *, rounds: int = 150, seconds: float = 2.0, at_least: int = 3
) -> list[float]:
    """Return the shortest time of each side in seconds, run A B C A B C … in one process.

    Timing stops after ``rounds`` rounds or ``seconds`` of wall time, whichever comes first, but not
    before ``at_least`` rounds. Each side first runs once untimed. The garbage collector is off. On
    a shared machine the ratio of two such minima varies much less than that of two means.
    """
    for side in sides:
        side()
    best = [float("inf")] * len(sides)
    gc_was_enabled = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for completed in range(rounds):
            if completed >= at_least and time.perf_counter() - start > seconds:
                break
            for index, side in enumerate(sides):
                before = time.perf_counter()
                side()
                best[index] = min(best[index], time.perf_counter() - before)
    finally:
        if gc_was_enabled:
            gc.enable()
    return best


def interleave(
    run: Thunk, peer: Thunk, *, pairs: int = 150, seconds: float = 2.0, at_least: int = 3
) -> tuple[float, float]:
    """Return the shortest times ``(run, peer)`` of two sides; see :func:`interleave_all`."""
    first, second = interleave_all([run, peer], rounds=pairs, seconds=seconds, at_least=at_least)
    return first, second
