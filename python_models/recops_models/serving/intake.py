"""Events as they are sent: one by one they are taken, or refused with the field that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from recops_models.serving.applied import Guard, applied
from recops_models.serving.errors import FieldError
from recops_models.serving.event import UserEvent
from recops_models.serving.served import ServedModel
from recops_models.serving.stores.store import Store

BATCH = 1024
"""Events in one commit."""


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
        refused: not what an event must be.
    """

    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    gaps: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """``{"accepted", "duplicates", "late", "refused", "gaps"}``."""
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "late": self.late,
            "refused": len(self.refused),
            "gaps": self.gaps,
        }

    @property
    def num_events(self) -> int:
        """All that were sent."""
        return self.accepted + self.duplicates + self.late + len(self.refused)

    def join(self, other: IngestReport) -> None:
        """Count the events of another report, behind these."""
        start = self.num_events
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.late += other.late
        self.gaps += other.gaps
        self.refused += [replace(one, index=start + one.index) for one in other.refused]


def take(
    served: ServedModel,
    generation: int,
    store: Store,
    contents: Sequence[object],
    guards: Sequence[Guard],
) -> IngestReport:
    """Apply events in one commit, those left out that are none.

    Args:
        served: the model.
        generation: of the store, where its states lie.
        store: of them.
        contents: as of :class:`~recops_models.serving.event.UserEvent`; those of one user in their
            order. An error among them is what one was read with.
        guards: what must hold when they are committed.

    Raises:
        ConflictError: someone has committed meanwhile.
        StoreError: a guard says so, or the store cannot read or write.
    """
    read = [_read(content) for content in contents]
    faults = {place: one for place, one in enumerate(read) if isinstance(one, FieldError)}
    events = {place: one for place, one in enumerate(read) if isinstance(one, UserEvent)}
    encoded = served.events.encode(list(events.values()))
    step = applied(served, generation, store, encoded, guards)
    places = list(events)
    faults |= {places[place]: error for place, error in encoded.faults.items()}
    refused = [Refusal(place, error.field, error.error) for place, error in sorted(faults.items())]
    return IngestReport(step.accepted, step.duplicates, step.late, step.gaps, refused)


def _read(content: object) -> UserEvent | FieldError:
    if isinstance(content, FieldError):
        return content
    try:
        return UserEvent.of(content)
    except FieldError as error:
        return error
