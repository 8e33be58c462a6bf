"""Priority of scoring over writing within one interpreter."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from recops_models.serving.yielding import YieldPoint


class ScorePriority:
    """Counter of scores in progress, for which a writer waits.

    A score runs about sixty ops, each of which releases and reacquires the interpreter lock. A
    concurrent writer would hold the lock each time. Pausing the writer delays events by a few
    milliseconds and keeps the latency of scores low.
    """

    def __init__(self) -> None:
        self._lock, self._idle = threading.Lock(), threading.Event()
        self._scoring = 0
        self._idle.set()

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Count a score that is computed in the ``with`` block."""
        with self._lock:
            self._scoring += 1
            self._idle.clear()
        try:
            yield
        finally:
            with self._lock:
                self._scoring -= 1
                if not self._scoring:
                    self._idle.set()

    def yield_point(self, max_seconds: float) -> YieldPoint:
        """Return a function that a writer calls between two events, which waits for scores.

        Args:
            max_seconds: bound of the total waiting time, so that scores never block a commit.
        """
        remaining = max_seconds

        def yield_point() -> None:
            nonlocal remaining
            if remaining > 0 and not self._idle.is_set():
                start = time.perf_counter()
                self._idle.wait(remaining)
                remaining -= time.perf_counter() - start

        return yield_point
