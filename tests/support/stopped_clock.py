"""A clock that a test sets."""

from __future__ import annotations


class Clock:
    """Replacement of the module ``time`` with a constant time."""

    now = 1e9

    def time(self) -> float:
        """Return the time that the test has set."""
        return self.now
