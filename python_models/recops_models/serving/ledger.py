"""Compact record of the sequence numbers of a user's applied events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_GAPS = 8
"""Largest number of gaps that are stored per user."""


class EventStatus(Enum):
    """Decision on an event, from its sequence number."""

    accepted = "accepted"
    duplicate = "duplicate"
    late = "late"


@dataclass
class Ledger:
    """Sequence numbers of the events of one user.

    An event is *accepted* if its number is higher than all numbers before it. The numbers that it
    skips form a *gap*: they are counted as missing, and processing continues without them. Any
    other event changes nothing. It is a *duplicate* if its number was applied, and *late* if its
    number lies in a gap: later events are already in the state, so it would be out of order.

    At most :data:`MAX_GAPS` gaps are stored. When another one appears, the two oldest are merged
    with the numbers between them. A duplicate from between them is then reported as late. States
    are not affected.

    Attributes:
        last: highest number applied, 0 for none.
        missing: count of all skipped numbers.
        gaps: intervals of skipped numbers, both ends included, in ascending order.
    """

    last: int = 0
    missing: int = 0
    gaps: tuple[tuple[int, int], ...] = ()

    def admit(self, seq: int) -> EventStatus:
        """Return the outcome of event ``seq``, and record the number if the event is accepted."""
        if seq <= self.last:
            skipped = any(first <= seq <= end for first, end in self.gaps)
            return EventStatus.late if skipped else EventStatus.duplicate
        if seq > self.last + 1:
            self.missing += seq - self.last - 1
            gaps = (*self.gaps, (self.last + 1, seq - 1))
            if len(gaps) > MAX_GAPS:
                gaps = ((gaps[0][0], gaps[1][1]), *gaps[2:])
            self.gaps = gaps
        self.last = seq
        return EventStatus.accepted
