"""Users who are forgotten: at once, and whatever is replayed or restored later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from recops_models.serving.applied import Guard
from recops_models.serving.checked import Tombstone, Totals
from recops_models.serving.errors import CorruptStateError, FieldError
from recops_models.serving.event import LARGEST
from recops_models.serving.generations import FIRST, change, chunks, served_now
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
    of nobody.

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
        CorruptStateError: a record is damaged, so that nobody knows its last number: give
            ``through``.
        StoreError: the store cannot write; those before are forgotten.
    """
    if not 0 <= through <= LARGEST:
        raise FieldError("through", f"must be from 0 to 2^63 - 1, got {through}")
    return sum(
        patiently(partial(_forget, store, chunk, through, before), patience)
        for chunk in chunks(users, _CHUNK)
    )


def expire_users(store: Store, before: float) -> int:
    """:func:`forget_users` whose last event has an earlier timestamp than ``before``. O(users)."""
    active = served_now(store)
    if active is None:
        return 0
    old = _last_seen_before(store, users_prefix(active.generation), before)
    return sum(forget_users(store, chunk, before=before) for chunk in chunks(old, _CHUNK))


def _last_seen_before(store: Store, prefix: bytes, before: float) -> Iterator[str]:
    for key, data in store.scan([prefix]):
        user = key.removeprefix(prefix).decode()
        if UserRecord.unpack(user, data).timestamp < before:
            yield user


def _forget(store: Store, users: Sequence[str], through: int, before: float | None) -> int:
    """In one commit; how many had a state."""
    active = served_now(store)
    generation = FIRST if active is None else active.generation
    places = (generation, generation + 1)  # The states that are served, and what is being filled.
    keys = [totals_key(place) for place in places]
    keys += [user_key(place, user) for place in places for user in users]
    keys += [forgotten_key(user) for user in users]
    guards: list[Guard] = [NotPaused(), *([] if active is None else [active])]
    forgotten = 0

    def changes(values: list[bytes | None]) -> dict[bytes, bytes | None]:
        nonlocal forgotten
        found = dict(zip(keys, values, strict=True))
        totals = {place: Totals.unpack(found[totals_key(place)]) for place in places}
        made: dict[bytes, bytes | None] = {}
        forgotten = 0
        for user in users:
            there = [place for place in places if found[user_key(place, user)] is not None]
            records = [_record(user, found[user_key(place, user)], through) for place in there]
            if before is not None and not (records and records[0].timestamp < before):
                continue
            forgotten += generation in there
            for place in there:
                made[user_key(place, user)] = None
                totals[place] = replace(totals[place], users=totals[place].users - 1)
                made[totals_key(place)] = totals[place].pack()
            last = max([through, *(record.ledger.last for record in records)])
            if last > Tombstone.unpack(user, found[forgotten_key(user)]).seq:
                made[forgotten_key(user)] = Tombstone(last).pack(user)
        return made

    change(store, keys, changes, guards)
    return forgotten


def _record(user: str, data: bytes | None, through: int) -> UserRecord:
    """A user's; of one that is damaged, what ``through`` tells."""
    assert data is not None
    try:
        return UserRecord.unpack(user, data)
    except CorruptStateError as error:
        if not through:
            raise CorruptStateError(
                f"{error}: say through which sequence number to forget (--through)"
            ) from error
        return UserRecord(b"", b"", ledger=Ledger(through))
