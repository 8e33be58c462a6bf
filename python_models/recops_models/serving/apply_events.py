"""Application of one batch of events to user states in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from recops_models.serving.errors import ModelVersionError
from recops_models.serving.event_encoder import EncodedEvents
from recops_models.serving.guard import Guard
from recops_models.serving.keys import forgotten_key, item_key, totals_key, user_key
from recops_models.serving.ledger import EventStatus
from recops_models.serving.record import UserRecord
from recops_models.serving.sealed_values import ItemCount, Tombstone, Totals
from recops_models.serving.served_model import ServedModel
from recops_models.serving.stores.store import Store, View
from recops_models.serving.yielding import YieldPoint


@dataclass(frozen=True)
class EventOutcome:
    """Outcome of one event.

    Attributes:
        outcome: decision of :class:`~recops_models.serving.ledger.Ledger`.
        skipped: sequence numbers between the user's previous event and this one.
    """

    outcome: EventStatus
    skipped: int = 0


def apply_events(
    served: ServedModel,
    generation: int,
    store: Store,
    events: EncodedEvents,
    guards: Sequence[Guard],
    yield_point: YieldPoint,
) -> list[EventOutcome]:
    """Apply events: read the states of their users, update them, and write all in one commit.

    Args:
        served: the model.
        generation: generation that holds the model's states.
        store: the store.
        events: events; those of one user in order.
        guards: preconditions of the commit.
        yield_point: called between two events.

    Returns:
        outcome of each event.

    Raises:
        ConflictError: another commit changed a value that was read, or a guard failed.
        CorruptStateError: a user's state is damaged.
        StoreError: the store cannot read or write.
    """
    batch = _Batch.read(served, generation, store, events, guards, yield_point)
    rows, indices = batch.admit(events)
    changes = batch.changes(rows, indices, events)
    for guard in guards:
        if (value := guard.renewal()) is not None:
            changes[guard.key] = value
    if changes:
        store.commit_if_unchanged(batch.view, batch.keys, changes)
    return batch.outcomes


class _Batch:
    """Records of the users and items of a batch, and the changes to them."""

    def __init__(
        self,
        served: ServedModel,
        generation: int,
        keys: Sequence[bytes],
        view: View,
        totals: Totals,
        records: dict[str, UserRecord],
        counts: dict[str, ItemCount],
        yield_point: YieldPoint,
    ) -> None:
        self.keys, self.view, self._yield_point = keys, view, yield_point
        self._served, self._generation = served, generation
        self._totals, self._records, self._item_counts = totals, records, counts
        self.outcomes: list[EventOutcome] = []
        self._pool_rows: dict[str, int] = {}  # Row of each updated user's state in the pool.

    @classmethod
    def read(
        cls,
        served: ServedModel,
        generation: int,
        store: Store,
        events: EncodedEvents,
        guards: Sequence[Guard],
        yield_point: YieldPoint,
    ) -> _Batch:
        users = list(dict.fromkeys(event.user for event in events.events))
        items = []
        if served.requests.reads_rates:
            items = list(dict.fromkeys(event.item for event in events.events))
        keys = [
            *(guard.key for guard in guards),
            totals_key(generation),
            *(user_key(generation, user) for user in users),
            *(forgotten_key(user) for user in users),
            *(item_key(generation, item) for item in items),
        ]
        view = store.view(keys)
        values = iter(view.values)
        for guard in guards:
            guard.check(next(values))
        totals = Totals.unpack(next(values))
        stored_records = [next(values) for _ in users]
        records = {}
        for user, stored in zip(users, stored_records, strict=True):
            yield_point()
            tombstone = Tombstone.unpack(user, next(values))
            records[user] = _load_record(served, user, stored, tombstone)
        counts = {item: ItemCount.unpack(item, next(values)) for item in items}
        return cls(served, generation, keys, view, totals, records, counts, yield_point)

    def admit(self, events: EncodedEvents) -> tuple[list[int], list[int]]:
        """Record the outcome of each event and count the accepted ones.

        Returns:
            pool row and event index of each event that changes a state.
        """
        rows, indices = [], []
        for index, event in enumerate(events.events):
            self._yield_point()
            record = self._records[event.user]
            missing = record.ledger.missing
            outcome = record.ledger.admit(event.seq)
            self.outcomes.append(EventOutcome(outcome, record.ledger.missing - missing))
            if outcome is not EventStatus.accepted:
                continue
            liked = bool(events.liked[index])
            is_new_user = record.seen == 0
            self._records[event.user] = replace(
                record,
                seen=record.seen + 1,
                liked=record.liked + liked,
                timestamp=event.timestamp,
            )
            totals = self._totals
            self._totals = Totals(totals.seen + 1, totals.liked + liked, totals.users + is_new_user)
            if event.item in self._item_counts:
                self._item_counts[event.item] = self._item_counts[event.item].plus(liked)
            row = self._pool_rows.setdefault(event.user, len(self._pool_rows))
            if events.written[index]:
                rows.append(row)
                indices.append(index)
        return rows, indices

    def changes(
        self, rows: list[int], indices: list[int], events: EncodedEvents
    ) -> dict[bytes, bytes | None]:
        """Update the states and return the changes to the store."""
        if not self._pool_rows:
            return {}
        records = [self._records[user] for user in self._pool_rows]
        states = self._served.advance(
            records,
            torch.tensor(rows, dtype=torch.int64),
            events,
            torch.tensor(indices, dtype=torch.int64),
        )
        changes: dict[bytes, bytes | None] = {totals_key(self._generation): self._totals.pack()}
        for user, record, (state, count) in zip(self._pool_rows, records, states, strict=True):
            self._yield_point()
            updated = replace(record, state=state, count=count)
            changes[user_key(self._generation, user)] = updated.pack(user)
        for item, item_count in self._item_counts.items():
            changes[item_key(self._generation, item)] = item_count.pack(item)
        return changes


def _load_record(
    served: ServedModel, user: str, data: bytes | None, tombstone: Tombstone
) -> UserRecord:
    """Return the user's record, or a new one that starts after the forgotten events."""
    if data is None:
        record = served.new_record(floor=tombstone.seq)
        record.ledger.last = tombstone.seq
        return record
    record = UserRecord.unpack(user, data, served.layout.num_bytes)
    if record.version != served.version:
        raise ModelVersionError(
            f"the state of {user!r} belongs to model {record.version.hex()}, "
            f"not {served.version_text}"
        )
    return record
