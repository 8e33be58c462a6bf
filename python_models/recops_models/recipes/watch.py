"""How a training tells where it is."""

from __future__ import annotations

from recops_models.training.curve import Epoch


class Watch:
    """Told of a training as it goes on. This one tells nobody; a subclass shows what it wants."""

    def start(self, part: str) -> None:
        """A part of the work begins; the one before it is finished."""

    def advance(self, share: float, note: str = "") -> None:
        """The part, if it is no training, has come to ``share`` of its work, 0 to 1."""

    def step(self, epoch: int, share: float, loss: float) -> None:
        """A training is at ``share`` of an epoch."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is finished, or was in an earlier sitting."""
