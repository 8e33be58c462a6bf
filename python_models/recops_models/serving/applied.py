"""One batch of events, from states that were read to one commit of all that they change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from recops_models.serving.checked import Tally, Tombstone
from recops_models.serving.encoder import EncodedEvents
from recops_models.serving.errors import ConflictError, ModelVersionError
from recops_models.serving.keys import ACTIVE, forgotten_key, item_key, totals_key, user_key
from recops_models.serving.ledger import Fate
from recops_models.serving.record import UserRecord
from recops_models.serving.served import Active, ServedModel
from recops_models.serving.stores.store import Store


@dataclass(frozen=True)
class AppliedBatch:
    """What became of a batch's events.

    Attributes:
        accepted: applied.
        duplicates: applied before, or forgotten.
        late: skipped before.
        gaps: numbers that were skipped now.
    """

    accepted: int
    duplicates: int
    late: int
    gaps: int


def applied(
    served: ServedModel,
    active: Active,
    store: Store,
    events: EncodedEvents,
    extra: Mapping[bytes, bytes | None] | None = None,
) -> AppliedBatch:
    """Read the touched users' states into a pool, move it, write it back: one commit.

    Args:
        served: the model.
        active: where its states lie.
        store: of them.
        events: in the order in which each user's are to be applied.
        extra: values to be committed beside them.

    Raises:
        ConflictError: someone has committed meanwhile, or another generation is active.
        CorruptStateError: a user's state is damaged.
        StoreError: the store cannot read or write.
    """
    users = list(dict.fromkeys(event.user for event in events.events))
    items = _items(served, events)
    generation = active.generation
    view = store.view(
        [
            ACTIVE,
            totals_key(generation),
            *(user_key(generation, user) for user in users),
            *(forgotten_key(user) for user in users),
            *(item_key(generation, item) for item in items),
        ]
    )
    if view.values[0] != active.pack():
        raise ConflictError(f"{store.url}: another generation is active")
    of_all, rest = Tally.unpack("", view.values[1]), view.values[2:]
    records = {}
    for place, user in enumerate(users):
        data, tombstone = rest[place], rest[len(users) + place]
        records[user] = _record(served, user, data, Tombstone.unpack(user, tombstone))
    of_items = {
        item: Tally.unpack(item, data)
        for item, data in zip(items, rest[2 * len(users) :], strict=True)
    }
    before = sum(record.ledger.missing for record in records.values())
    met: Counter[Fate] = Counter()
    touched: dict[str, int] = {}
    rows, chosen = [], []
    for place, event in enumerate(events.events):
        record = records[event.user]
        fate = record.ledger.admit(event.seq)
        met[fate] += 1
        if fate is not Fate.accepted:
            continue
        liked = bool(events.liked[place])
        row = touched.setdefault(event.user, len(touched))
        records[event.user] = replace(
            record,
            seen=record.seen + 1,
            liked=record.liked + liked,
            timestamp=event.timestamp,
        )
        of_all = of_all.plus(liked)
        if event.item in of_items:
            of_items[event.item] = of_items[event.item].plus(liked)
        if events.written[place]:
            rows.append(row)
            chosen.append(place)
    step = AppliedBatch(
        met[Fate.accepted],
        met[Fate.duplicate],
        met[Fate.late],
        sum(record.ledger.missing for record in records.values()) - before,
    )
    changes = dict(extra or {})
    if touched:
        moved = [records[user] for user in touched]
        states = served.advance(moved, torch.tensor(rows), events, torch.tensor(chosen))
        for user, record, (state, count) in zip(touched, moved, states, strict=True):
            changes[user_key(generation, user)] = replace(record, state=state, count=count).pack(
                user
            )
        changes[totals_key(generation)] = of_all.pack("")
        for item, tally in of_items.items():
            changes[item_key(generation, item)] = tally.pack(item)
    if changes:
        store.commit(changes, clock=view.clock)
    return step


def _items(served: ServedModel, events: EncodedEvents) -> list[str]:
    """Whose events are counted."""
    if not served.encoder.reads_rates:
        return []
    return list(dict.fromkeys(event.item for event in events.events))


def _record(served: ServedModel, user: str, data: bytes | None, stone: Tombstone) -> UserRecord:
    if data is not None:
        record = UserRecord.unpack(user, data, served.layout.num_bytes)
        if record.version != served.version:
            raise ModelVersionError(
                f"the state of {user!r} is of model {record.version.hex()}, "
                f"not {served.version_text}"
            )
        return record
    record = served.new_record(floor=stone.seq)
    record.ledger.last = stone.seq
    return record
