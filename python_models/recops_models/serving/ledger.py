"""Which events of a user have been applied, told by their sequence numbers in a few bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MOST_GAPS = 8
"""Intervals of skipped numbers that are remembered of a user."""


class Fate(Enum):
    """What becomes of an event."""

    accepted = "accepted"
    duplicate = "duplicate"
    late = "late"


@dataclass
class Ledger:
    """The sequence numbers of a user.

    An event is *accepted* if its number is above all before it. Numbers that it skips are a *gap*:
    they are counted, and the user goes on without them. Any other is a *duplicate*, if it was
    applied, or *late*, if it was skipped: the events behind it are in the state already, so that it
    could only be written out of order. Neither changes anything.

    A user has at most :data:`MOST_GAPS` gaps. One more, and the two oldest become one with what
    lies between them: a duplicate from there is then called late. This is the only doubt, and it
    is about a name, not about a state.

    Attributes:
        last: the highest number applied; 0: none.
        missing: how many were skipped, all in all.
        gaps: the intervals of skipped numbers, both ends included, ascending.
    """

    last: int = 0
    missing: int = 0
    gaps: tuple[tuple[int, int], ...] = ()

    def admit(self, seq: int) -> Fate:
        """What becomes of the event ``seq``; an accepted one is in the ledger from now on."""
        if seq <= self.last:
            skipped = any(first <= seq <= end for first, end in self.gaps)
            return Fate.late if skipped else Fate.duplicate
        if seq > self.last + 1:
            self.missing += seq - self.last - 1
            gaps = (*self.gaps, (self.last + 1, seq - 1))
            if len(gaps) > MOST_GAPS:
                gaps = ((gaps[0][0], gaps[1][1]), *gaps[2:])
            self.gaps = gaps
        self.last = seq
        return Fate.accepted
