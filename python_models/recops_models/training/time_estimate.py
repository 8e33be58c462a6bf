"""Estimate of the training time from the first steps."""

from __future__ import annotations

import time
from collections.abc import Callable

from recops_models.callbacks import Callbacks

_AFTER = 3.0
"""Seconds of training before the estimate; the first steps are slower than the others."""


class TimeEstimate(Callbacks):
    """Callbacks that report once how long the remaining steps take at the speed of the first ones.

    Trainings of a few seconds, and streams of unknown length, give no estimate.

    Args:
        report: receives one line of text.
        clock: returns the time in seconds.

    Example:
        >>> ticks = iter([0.0, 2.0, 4.0])
        >>> estimate = TimeEstimate(print, clock=lambda: next(ticks))
        >>> for share in (0.0, 0.01, 0.02):
        ...     estimate.advance(share)
        estimated training time: 3 min for the remaining epochs, without validation
    """

    def __init__(
        self, report: Callable[[str], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._report, self._clock = report, clock
        self._first: tuple[float, float] | None = None
        self._is_done = False

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        if self._is_done:
            return
        now = self._clock()
        if self._first is None:
            self._first = now, share
            return
        started, before = self._first
        if now - started < _AFTER or share <= before:
            return
        self._is_done = True
        seconds = (now - started) / (share - before) * (1 - before)
        length = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
        self._report(
            f"estimated training time: {length} for the remaining epochs, without validation"
        )
