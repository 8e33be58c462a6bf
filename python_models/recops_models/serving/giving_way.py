"""A writer that computes in small pieces, and between them lets others have the interpreter."""

from __future__ import annotations

from collections.abc import Callable

GiveWay = Callable[[], None]
"""Called between two events; returns when the writer may go on."""


def to_nobody() -> None:
    """Go on at once."""
