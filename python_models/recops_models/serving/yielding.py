"""Points at which a writer lets other threads run."""

from __future__ import annotations

from collections.abc import Callable

YieldPoint = Callable[[], None]
"""Called between two events of a batch. Returns when the writer may continue."""


def no_yield() -> None:
    """Continue immediately."""
