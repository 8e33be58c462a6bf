"""Log messages when a store stops answering and when it answers again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from recops_models.serving.errors import StoreAwayError
from recops_models.serving.locks import HeldLockError

_logger = logging.getLogger(__name__)


class StoreAvailability:
    """Thread-safe tracker of whether a store answers. It logs each change once.

    Both messages are warnings, so that a log of warnings also shows the recovery.

    Args:
        url: URL of the store, for the messages.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._away_since: float | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record whether the store answers in the ``with`` block."""
        try:
            yield
        except StoreAwayError as error:
            self.record_failure(error)
            raise
        self.record_answer()

    def record_failure(self, error: StoreAwayError) -> None:
        """Record that the store does not answer. HeldLockError counts as an answer."""
        if isinstance(error, HeldLockError):
            self.record_answer()
            return
        with self._lock:
            is_new = self._away_since is None
            if is_new:
                self._away_since = time.monotonic()
        if is_new:
            _logger.warning("%s does not answer, retrying: %s", self._url, error)

    def record_answer(self) -> None:
        """Record that the store answers."""
        if self._away_since is None:
            return
        with self._lock:
            away_since, self._away_since = self._away_since, None
        if away_since is not None:
            seconds = time.monotonic() - away_since
            _logger.warning("%s answers again after %.1f s", self._url, seconds)
