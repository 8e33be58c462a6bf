"""Users whose records are damaged: what is done with all leaves them out, and tells."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import islice

_NAMED = 10
"""That are told by name."""

Warned = Callable[[str], None]
"""Told in a line what was left out."""


def warn(text: str) -> None:
    """As a warning of Python."""
    warnings.warn(text, stacklevel=3)


class Damaged:
    """Who they are, each once."""

    def __init__(self) -> None:
        self._users: dict[str, None] = {}

    def add(self, user: str) -> None:
        """One of them."""
        self._users[user] = None

    def tell(self, warned: Warned, where: object, fate: str) -> None:
        """Name the first of them, if there are any, and say what becomes of them."""
        if self._users:
            named = ", ".join(map(repr, islice(self._users, _NAMED)))
            others = len(self._users) - _NAMED
            more = f" and {others:,} others" if others > 0 else ""
            warned(f"{where}: damaged records of {named}{more}: {fate}")
