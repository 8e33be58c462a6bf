"""Ingestion of raw events: validation, application and counts per outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from recops_models.serving.apply_events import EventOutcome, apply_events
from recops_models.serving.errors import DamagedRecordError, FieldError
from recops_models.serving.event import UserEvent
from recops_models.serving.guard import Guard
from recops_models.serving.ledger import EventStatus
from recops_models.serving.served_model import ServedModel
from recops_models.serving.stores.store import Store
from recops_models.serving.yielding import YieldPoint, no_yield

BATCH = 1024
"""Largest number of events per commit."""

MAX_NAMED = 10
"""Largest number of refused events that a sum of reports lists."""


@dataclass(frozen=True)
class Refusal:
    """Invalid event.

    Attributes:
        index: position among the events that were sent, from 0.
        field: name of the invalid field.
        error: what is wrong with it.
    """

    index: int
    field: str
    error: str


@dataclass
class IngestReport:
    """Counts of events by outcome.

    Attributes:
        accepted: events that were applied and are durable.
        duplicates: events that had been applied before.
        late: events that were rejected because later events of their user are already applied.
        gaps: sequence numbers that accepted events skipped.
        refused: invalid events: all of one call, or the first :data:`MAX_NAMED` of joined reports.
        unnamed: number of invalid events that ``refused`` does not list.
    """

    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    gaps: int = 0
    refused: list[Refusal] = field(default_factory=list)
    unnamed: int = 0

    def counts(self) -> dict[str, int]:
        """Return the counts by name: accepted, duplicates, late, refused and gaps."""
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "late": self.late,
            "refused": self.num_refused,
            "gaps": self.gaps,
        }

    @property
    def num_refused(self) -> int:
        """Number of invalid events."""
        return len(self.refused) + self.unnamed

    @classmethod
    def of(cls, outcomes: Sequence[EventOutcome | FieldError]) -> IngestReport:
        """Count the outcomes of :func:`apply_batch`."""
        report = cls()
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, FieldError):
                report.refused.append(Refusal(index, outcome.field, outcome.error))
                continue
            report.gaps += outcome.skipped
            report.accepted += outcome.outcome is EventStatus.accepted
            report.duplicates += outcome.outcome is EventStatus.duplicate
            report.late += outcome.outcome is EventStatus.late
        return report

    @property
    def num_events(self) -> int:
        """Number of events that were sent."""
        return self.accepted + self.duplicates + self.late + self.num_refused

    def join(self, other: IngestReport) -> None:
        """Add the counts of a report on later events. Memory use is bounded."""
        start = self.num_events
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.late += other.late
        self.gaps += other.gaps
        listed = other.refused[: max(0, MAX_NAMED - len(self.refused))]
        self.refused += [replace(one, index=start + one.index) for one in listed]
        self.unnamed += other.num_refused - len(listed)


def apply_batch(
    served: ServedModel,
    generation: int,
    store: Store,
    contents: Sequence[object],
    guards: Sequence[Guard],
    yield_point: YieldPoint = no_yield,
) -> list[EventOutcome | FieldError]:
    """Validate events and apply the valid ones in one commit.

    Args:
        served: the model.
        generation: generation that holds the model's states.
        store: the store.
        contents: fields of each event (see :class:`~recops_models.serving.event.UserEvent`), those
            of one user in order. A FieldError stands for an event that could not be parsed.
        guards: preconditions of the commit.
        yield_point: called between two events.

    Returns:
        outcome of each event; a FieldError for an invalid one.

    Raises:
        ConflictError: another commit changed a value that was read.
        StoreError: a guard raised it, or the store cannot read or write.
    """
    parsed = [_parse(content, yield_point) for content in contents]
    indices = [index for index, event in enumerate(parsed) if isinstance(event, UserEvent)]
    encoded = served.events.encode([event for event in parsed if isinstance(event, UserEvent)])
    outcomes = iter(apply_events(served, generation, store, encoded, guards, yield_point))
    faults = {indices[index]: error for index, error in encoded.faults.items()}
    return [
        event if isinstance(event, FieldError) else faults.get(index) or next(outcomes)
        for index, event in enumerate(parsed)
    ]


def ingest_undamaged(
    events: Sequence[object], ingest: Callable[[Sequence[object]], IngestReport]
) -> IngestReport:
    """Call ``ingest``, and refuse the events that touch a damaged record.

    A damaged record does not block other users. Bisection finds its events with O(log n) additional
    commits per event.
    """
    try:
        return ingest(events)
    except DamagedRecordError as error:
        if len(events) == 1:
            return IngestReport.of([FieldError("event", f"cannot be applied: {error}")])
    half = len(events) // 2
    report = ingest_undamaged(events[:half], ingest)
    report.join(ingest_undamaged(events[half:], ingest))
    return report


def _parse(content: object, yield_point: YieldPoint) -> UserEvent | FieldError:
    yield_point()
    if isinstance(content, FieldError):
        return content
    try:
        return UserEvent.parse(content)
    except FieldError as error:
        return error
