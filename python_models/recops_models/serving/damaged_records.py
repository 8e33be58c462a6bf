"""Users with damaged records, which operations on all users skip and report."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import islice

_MAX_NAMED = 10
"""Largest number of users that a warning names."""

WarningCallback = Callable[[str], None]
"""Receives a one-line description of the records that were skipped."""


def warn(text: str) -> None:
    """Issue ``text`` as a Python warning."""
    warnings.warn(text, stacklevel=3)


class DamagedRecords:
    """Set of users with damaged records, in the order in which they were found."""

    def __init__(self) -> None:
        self._users: dict[str, None] = {}

    def add(self, user: str) -> None:
        """Add a user."""
        self._users[user] = None

    def report(self, on_warning: WarningCallback, source: object, consequence: str) -> None:
        """Pass one warning to ``on_warning`` if there are any such users.

        Args:
            on_warning: receives the warning.
            source: store or file that holds the records.
            consequence: what happens to the users.
        """
        if self._users:
            names = ", ".join(map(repr, islice(self._users, _MAX_NAMED)))
            others = len(self._users) - _MAX_NAMED
            more = f" and {others:,} others" if others > 0 else ""
            on_warning(f"{source}: damaged records of {names}{more}: {consequence}")
