"""Preconditions of a commit, such as a lock that must still be held."""

from __future__ import annotations

from typing import Protocol


class Guard(Protocol):
    """Precondition on one value of the store that must hold when a commit is written."""

    @property
    def key(self) -> bytes:
        """Key of the value."""

    def check(self, value: bytes | None) -> None:
        """Raise ConflictError or another StoreError unless ``value`` satisfies the precondition."""

    def renewal(self) -> bytes | None:
        """Return the new value to write in the same commit, or None to leave it unchanged."""
