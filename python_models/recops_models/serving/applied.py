"""One batch of events, from states that were read to one commit of all that they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from recops_models.serving.checked import ItemCount, Tombstone, Totals
from recops_models.serving.errors import ModelVersionError
from recops_models.serving.event_encoder import EncodedEvents
from recops_models.serving.giving_way import GiveWay
from recops_models.serving.keys import forgotten_key, item_key, totals_key, user_key
from recops_models.serving.ledger import Fate
from recops_models.serving.record import UserRecord
from recops_models.serving.served import ServedModel
from recops_models.serving.stores.store import Store, View


class Guard(Protocol):
    """What must hold of one value of the store, at the moment of a commit."""

    @property
    def key(self) -> bytes:
        """Of the value."""

    def check(self, value: bytes | None) -> None:
        """Raises ConflictError or StoreAwayError where it does not hold."""

    def renewed(self) -> bytes | None:
        """What to put there in the commit; None: it stays."""


@dataclass(frozen=True)
class AppliedEvent:
    """What became of an event.

    Attributes:
        fate: see :class:`~recops_models.serving.ledger.Ledger`.
        skipped: numbers between its user's last event and this one.
    """

    fate: Fate
    skipped: int = 0


def applied(
    served: ServedModel,
    generation: int,
    store: Store,
    events: EncodedEvents,
    guards: Sequence[Guard],
    give_way: GiveWay,
) -> list[AppliedEvent]:
    """Read the touched users' states into a pool, move it, write it back: one commit.

    Args:
        served: the model.
        generation: of the store, where its states lie.
        store: of them.
        events: those of a user in the order in which they are to be applied.
        guards: what must hold when they are committed.
        give_way: called between any two events.

    Returns:
        what became of each event.

    Raises:
        ConflictError: someone has committed meanwhile, or a guard says so.
        CorruptStateError: a user's state is damaged.
        StoreError: the store cannot read or write.
    """
    batch = _Batch.read(served, generation, store, events, guards, give_way)
    rows, chosen = batch.admit(events)
    changes = batch.changes(rows, chosen, events)
    for guard in guards:
        if (value := guard.renewed()) is not None:
            changes[guard.key] = value
    if changes:
        store.commit_upon(batch.view, batch.keys, changes)
    return batch.outcomes


class _Batch:
    """What the store held of all that a batch touches, and what becomes of it."""

    def __init__(
        self,
        served: ServedModel,
        generation: int,
        keys: Sequence[bytes],
        view: View,
        totals: Totals,
        records: dict[str, UserRecord],
        counts: dict[str, ItemCount],
        give_way: GiveWay,
    ) -> None:
        self.keys, self.view, self._give_way = keys, view, give_way
        self._served, self._generation = served, generation
        self._totals, self._records, self._of_items = totals, records, counts
        self.outcomes: list[AppliedEvent] = []
        self._touched: dict[str, int] = {}  # By user, the row of its state in the pool.

    @classmethod
    def read(
        cls,
        served: ServedModel,
        generation: int,
        store: Store,
        events: EncodedEvents,
        guards: Sequence[Guard],
        give_way: GiveWay,
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
        data = [next(values) for _ in users]
        records = {}
        for user, one in zip(users, data, strict=True):
            give_way()
            records[user] = _record(served, user, one, Tombstone.unpack(user, next(values)))
        counts = {item: ItemCount.unpack(item, next(values)) for item in items}
        return cls(served, generation, keys, view, totals, records, counts, give_way)

    def admit(self, events: EncodedEvents) -> tuple[list[int], list[int]]:
        """Count what is accepted; the pool's rows to be moved, and each one's event by place."""
        rows, chosen = [], []
        for place, event in enumerate(events.events):
            self._give_way()
            record = self._records[event.user]
            missing = record.ledger.missing
            fate = record.ledger.admit(event.seq)
            self.outcomes.append(AppliedEvent(fate, record.ledger.missing - missing))
            if fate is not Fate.accepted:
                continue
            liked = bool(events.liked[place])
            new = record.seen == 0
            self._records[event.user] = replace(
                record,
                seen=record.seen + 1,
                liked=record.liked + liked,
                timestamp=event.timestamp,
            )
            totals = self._totals
            self._totals = Totals(totals.seen + 1, totals.liked + liked, totals.users + new)
            if event.item in self._of_items:
                self._of_items[event.item] = self._of_items[event.item].plus(liked)
            row = self._touched.setdefault(event.user, len(self._touched))
            if events.written[place]:
                rows.append(row)
                chosen.append(place)
        return rows, chosen

    def changes(
        self, rows: list[int], chosen: list[int], events: EncodedEvents
    ) -> dict[bytes, bytes | None]:
        """Of the store, once the states are moved."""
        if not self._touched:
            return {}
        moved = [self._records[user] for user in self._touched]
        states = self._served.advance(
            moved,
            torch.tensor(rows, dtype=torch.int64),
            events,
            torch.tensor(chosen, dtype=torch.int64),
        )
        changes: dict[bytes, bytes | None] = {totals_key(self._generation): self._totals.pack()}
        for user, record, (state, count) in zip(self._touched, moved, states, strict=True):
            self._give_way()
            written = replace(record, state=state, count=count)
            changes[user_key(self._generation, user)] = written.pack(user)
        for item, of_item in self._of_items.items():
            changes[item_key(self._generation, item)] = of_item.pack(item)
        return changes


def _record(served: ServedModel, user: str, data: bytes | None, tombstone: Tombstone) -> UserRecord:
    """A user's, or a new one that begins behind what is forgotten."""
    if data is None:
        record = served.new_record(floor=tombstone.seq)
        record.ledger.last = tombstone.seq
        return record
    record = UserRecord.unpack(user, data, served.layout.num_bytes)
    if record.version != served.version:
        raise ModelVersionError(
            f"the state of {user!r} is of model {record.version.hex()}, not {served.version_text}"
        )
    return record
