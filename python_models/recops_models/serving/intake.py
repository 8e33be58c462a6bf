"""Events as they are sent: one by one they are taken, or refused with the field that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from recops_models.serving.applied import AppliedEvent, Guard, applied
from recops_models.serving.errors import DamagedRecordError, FieldError
from recops_models.serving.event import UserEvent
from recops_models.serving.giving_way import GiveWay, to_nobody
from recops_models.serving.ledger import Fate
from recops_models.serving.served import ServedModel
from recops_models.serving.stores.store import Store

BATCH = 1024
"""Events in one commit."""

NAMED = 10
"""Refused events that a sum of reports tells one by one."""


@dataclass(frozen=True)
class Refusal:
    """An event that was not what an event must be.

    Attributes:
        index: its place among those that were sent.
        field: what was wrong.
        error: how.
    """

    index: int
    field: str
    error: str


@dataclass
class IngestReport:
    """What became of events.

    Attributes:
        accepted: applied, and durable.
        duplicates: applied before.
        late: refused, for later events of their user are applied.
        gaps: sequence numbers that accepted events skipped.
        refused: not what an event must be. All of one call; of several that were joined, the first
            :data:`NAMED`.
        unnamed: how many were refused beside these.
    """

    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    gaps: int = 0
    refused: list[Refusal] = field(default_factory=list)
    unnamed: int = 0

    def counts(self) -> dict[str, int]:
        """``{"accepted", "duplicates", "late", "refused", "gaps"}``."""
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "late": self.late,
            "refused": self.num_refused,
            "gaps": self.gaps,
        }

    @property
    def num_refused(self) -> int:
        """All that were refused."""
        return len(self.refused) + self.unnamed

    @classmethod
    def of(cls, outcomes: Sequence[AppliedEvent | FieldError]) -> IngestReport:
        """The counts of :func:`take`'s outcomes."""
        report = cls()
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, FieldError):
                report.refused.append(Refusal(place, outcome.field, outcome.error))
                continue
            report.gaps += outcome.skipped
            report.accepted += outcome.fate is Fate.accepted
            report.duplicates += outcome.fate is Fate.duplicate
            report.late += outcome.fate is Fate.late
        return report

    @property
    def num_events(self) -> int:
        """All that were sent."""
        return self.accepted + self.duplicates + self.late + self.num_refused

    def join(self, other: IngestReport) -> None:
        """Count the events of another report, behind these: in memory that does not grow."""
        start = self.num_events
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.late += other.late
        self.gaps += other.gaps
        named = other.refused[: max(0, NAMED - len(self.refused))]
        self.refused += [replace(one, index=start + one.index) for one in named]
        self.unnamed += other.num_refused - len(named)


def take(
    served: ServedModel,
    generation: int,
    store: Store,
    contents: Sequence[object],
    guards: Sequence[Guard],
    give_way: GiveWay = to_nobody,
) -> list[AppliedEvent | FieldError]:
    """Apply events in one commit, those left out that are none.

    Args:
        served: the model.
        generation: of the store, where its states lie.
        store: of them.
        contents: as of :class:`~recops_models.serving.event.UserEvent`; those of one user in their
            order. An error among them is what one was read with.
        guards: what must hold when they are committed.
        give_way: called between any two events.

    Returns:
        what became of each of ``contents``; a FieldError of one that is no event.

    Raises:
        ConflictError: someone has committed meanwhile.
        StoreError: a guard says so, or the store cannot read or write.
    """
    read = [_read(content, give_way) for content in contents]
    encoded = served.events.encode([one for one in read if isinstance(one, UserEvent)])
    done = iter(applied(served, generation, store, encoded, guards, give_way))
    places = [place for place, one in enumerate(read) if isinstance(one, UserEvent)]
    faults = {places[place]: error for place, error in encoded.faults.items()}
    return [
        one if isinstance(one, FieldError) else faults.get(place) or next(done)
        for place, one in enumerate(read)
    ]


def without_damaged(
    events: Sequence[object], ingest: Callable[[Sequence[object]], IngestReport]
) -> IngestReport:
    """What ``ingest`` tells of events, those refused that touch what is damaged: one user's record
    is not to hold up all others. O(log n) commits more for each of them.
    """
    try:
        return ingest(events)
    except DamagedRecordError as error:
        if len(events) == 1:
            return IngestReport.of([FieldError("event", f"cannot be applied: {error}")])
    half = len(events) // 2
    report = without_damaged(events[:half], ingest)
    report.join(without_damaged(events[half:], ingest))
    return report


def _read(content: object, give_way: GiveWay) -> UserEvent | FieldError:
    give_way()
    if isinstance(content, FieldError):
        return content
    try:
        return UserEvent.of(content)
    except FieldError as error:
        return error
