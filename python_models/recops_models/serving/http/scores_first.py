"""Scores before writing: who computes a score has the interpreter lock to itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from recops_models.serving.giving_way import GiveWay


class ScoresFirst:
    """Counts the scores that are computed, and has a writer wait until there are none.

    A score is some sixty ops, each of which lets go of the interpreter lock and takes it again. A
    writer that runs beside it has the lock whenever the score comes back for it; one that waits
    costs the events a few milliseconds, which nobody counts, and gives them to the score.
    """

    def __init__(self) -> None:
        self._lock, self._idle = threading.Lock(), threading.Event()
        self._scoring = 0
        self._idle.set()

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """A score is computed inside."""
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

    def waits(self, most_seconds: float) -> GiveWay:
        """What a writer calls between two events.

        Args:
            most_seconds: that all of its calls wait together: scores without end must not keep
                events from ever being written.
        """
        left = most_seconds

        def give_way() -> None:
            nonlocal left
            if left > 0 and not self._idle.is_set():
                begun = time.perf_counter()
                self._idle.wait(left)
                left -= time.perf_counter() - begun

        return give_way
