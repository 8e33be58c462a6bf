"""How a run tells where it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of every stage as it begins, and within it of the share that is done."""

    def start(self, stage: str) -> None:
        """A stage begins; the one before it is finished."""

    def advance(self, share: float, note: str = "") -> None:
        """The stage has come to ``share`` of its work, 0 to 1, with a figure to show."""
