"""Users who are forgotten: at once, and whatever is replayed or restored later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from recops_models.serving.applied import Guard
from recops_models.serving.checked import Tombstone, Totals
from recops_models.serving.damaged import Damaged, Warned, warn
from recops_models.serving.errors import CorruptStateError, DamagedRecordError, FieldError
from recops_models.serving.event import LARGEST
from recops_models.serving.generations import (
    FIRST,
    change_once,
    chunks,
    generations_now,
    served_now,
)
from recops_models.serving.getting_through import getting_through
from recops_models.serving.keys import forgotten_key, totals_key, user_key, users_prefix
from recops_models.serving.ledger import Ledger
from recops_models.serving.locks import NotPaused, patiently
from recops_models.serving.record import UserRecord
from recops_models.serving.stores.store import Store

_CHUNK = 256


def forget_users(
    store: Store,
    users: Sequence[str],
    *,
    through: int = 0,
    before: float | None = None,
    patience: float = 60.0,
) -> int:
    """Remove users' states, and leave tombstones that replays and snapshots heed.

    A tombstone covers the events that the store has seen, up to the user's last sequence number:
    sent again, they are duplicates, and a snapshot's record that holds any of them is left out. A
    user who comes back, with later numbers, begins anew. What was counted of items stays: it tells
    of nobody. For a user without a state, ``through`` alone tells what to cover: without it there
    is no tombstone, and an older snapshot brings back what it holds of the user.

    Args:
        store: of the states.
        users: their ids.
        through: cover events up to this number, too, which the store may not have seen yet.
        before: forget those alone whose last event has an earlier timestamp.
        patience: seconds to wait for who pauses all writing.

    Returns:
        how many of them had a state.

    Raises:
        FieldError: ``through`` is no sequence number.
        CorruptStateError: a record or tombstone is damaged, so that nobody knows its number: give
            ``through``.
        StoreError: the store cannot write; those before are forgotten.
    """
    if not 0 <= through <= LARGEST:
        raise FieldError("through", f"must be from 0 to 2^63 - 1, got {through}")
    return sum(
        patiently(partial(_forget, store, chunk, through, before), patience)
        for chunk in chunks(users, _CHUNK)
    )


def expire_users(store: Store, before: float, *, warned: Warned = warn) -> int:
    """:func:`forget_users` whose last event has an earlier timestamp than ``before``. O(users).

    Args:
        store: of the states.
        before: see above.
        warned: told of users whose records are damaged: they stay.

    Returns:
        how many were forgotten.

    Raises:
        StoreError: the store cannot read or write; those before are forgotten.
    """
    active, damaged = served_now(store), Damaged()
    if active is None:
        return 0
    old = _last_seen_before(store, users_prefix(active.generation), before, damaged)
    forgotten = sum(_expire(store, chunk, before, damaged) for chunk in chunks(old, _CHUNK))
    damaged.tell(warned, store.url, "they stay, for nobody knows their age")
    return forgotten


def _last_seen_before(
    store: Store, prefix: bytes, before: float, damaged: Damaged
) -> Iterator[str]:
    for key, data in store.scan([prefix]):
        user = key.removeprefix(prefix).decode()
        try:
            last = UserRecord.unpack(user, data).timestamp
        except DamagedRecordError:
            damaged.add(user)
            continue
        if last < before:
            yield user


def _expire(store: Store, users: Sequence[str], before: float, damaged: Damaged) -> int:
    """Forget those who are old, one by one where the tombstone of one, say, is damaged."""
    try:
        return forget_users(store, users, before=before)
    except DamagedRecordError:
        if len(users) > 1:
            return sum(_expire(store, [user], before, damaged) for user in users)
        damaged.add(users[0])
        return 0


def _forget(store: Store, users: Sequence[str], through: int, before: float | None) -> int:
    """In one commit; how many had a state."""
    once = partial(_forget_once, store, users, through, before)
    return getting_through(store, [NotPaused()], once)


def _forget_once(
    store: Store,
    users: Sequence[str],
    through: int,
    before: float | None,
    guards: Sequence[Guard],
) -> int:
    active, left = generations_now(store)
    generation = FIRST if active is None else active.generation
    places = (generation, generation + 1)  # The states that are served, and what is being filled.
    keys = [totals_key(place) for place in places]
    keys += [user_key(place, user) for place in (*places, *left) for user in users]
    keys += [forgotten_key(user) for user in users]
    forgotten = 0

    def changes(values: list[bytes | None]) -> dict[bytes, bytes | None]:
        nonlocal forgotten
        found = dict(zip(keys, values, strict=True))
        totals = {place: Totals.unpack(found[totals_key(place)]) for place in places}
        made: dict[bytes, bytes | None] = {}
        for user in users:
            there = [place for place in places if found[user_key(place, user)] is not None]
            records = [_record(user, found[user_key(place, user)], through) for place in there]
            if before is not None and not (records and records[0].timestamp < before):
                continue
            forgotten += generation in there
            for place in there:
                totals[place] = replace(totals[place], users=totals[place].users - 1)
                made[totals_key(place)] = totals[place].pack()
            mine = [user_key(place, user) for place in (*places, *left)]
            made |= {key: None for key in mine if found[key] is not None}
            last = max([through, *(record.ledger.last for record in records)])
            if last > _tombstone(user, found[forgotten_key(user)], through).seq:
                made[forgotten_key(user)] = Tombstone(last).pack(user)
        return made

    change_once(store, keys, changes, [*guards, *([] if active is None else [active])])
    return forgotten


def _record(user: str, data: bytes | None, through: int) -> UserRecord:
    """A user's; of one that is damaged, what ``through`` tells."""
    assert data is not None
    try:
        return UserRecord.unpack(user, data)
    except CorruptStateError as error:
        _require_through(error, through)
        return UserRecord(b"", b"", ledger=Ledger(through))


def _tombstone(user: str, data: bytes | None, through: int) -> Tombstone:
    """A user's; in the place of one that is damaged a new one is to be."""
    try:
        return Tombstone.unpack(user, data)
    except CorruptStateError as error:
        _require_through(error, through)
        return Tombstone()


def _require_through(error: CorruptStateError, through: int) -> None:
    if not through:
        raise type(error)(
            f"{error}: say through which sequence number to forget (--through)"
        ) from error
