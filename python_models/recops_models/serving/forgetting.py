"""Deletion of users, which later replays and restored snapshots respect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from recops_models.serving.commit_retry import retry_commit
from recops_models.serving.damaged_records import DamagedRecords, WarningCallback, warn
from recops_models.serving.errors import CorruptStateError, DamagedRecordError, FieldError
from recops_models.serving.event import MAX_INT64
from recops_models.serving.generations import (
    FIRST,
    change_once,
    chunks,
    read_active,
    read_generations,
)
from recops_models.serving.guard import Guard
from recops_models.serving.keys import forgotten_key, totals_key, user_key, users_prefix
from recops_models.serving.ledger import Ledger
from recops_models.serving.locks import NoWritePause, retry_while_locked
from recops_models.serving.record import UserRecord
from recops_models.serving.sealed_values import Tombstone, Totals
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
    """Delete users' states and write tombstones that replays and restores respect.

    A tombstone covers the events up to the user's last sequence number in the store. These events
    are duplicates if they are sent again, and restores skip records that contain them. A user who
    returns with later events starts with an empty state. Item counts are kept, because they
    identify nobody. For a user without a state only ``through`` sets a tombstone: without it, an
    older snapshot can bring the user back.

    Args:
        store: the store.
        users: user ids.
        through: also cover events up to this sequence number that have not arrived yet.
        before: forget only users whose last event has an earlier timestamp.
        patience: seconds to wait while another process pauses writing.

    Returns:
        number of users who had a state.

    Raises:
        FieldError: ``through`` is not a sequence number.
        CorruptStateError: a record or tombstone is damaged, so that its sequence number is unknown:
            pass ``through``.
        StoreError: the store cannot write. Users of earlier chunks are forgotten.
    """
    if not 0 <= through <= MAX_INT64:
        raise FieldError("through", f"must be from 0 to 2^63 - 1, got {through}")
    return sum(
        retry_while_locked(partial(_forget, store, chunk, through, before), patience)
        for chunk in chunks(users, _CHUNK)
    )


def expire_users(store: Store, before: float, *, on_warning: WarningCallback = warn) -> int:
    """Forget all users whose last event has an earlier timestamp than ``before``. O(users).

    See :func:`forget_users`.

    Args:
        store: the store.
        before: timestamp, in the unit of the events.
        on_warning: receives a warning about users with damaged records, who are kept.

    Returns:
        number of forgotten users.

    Raises:
        StoreError: the store cannot read or write. Users of earlier chunks are forgotten.
    """
    active, damaged = read_active(store), DamagedRecords()
    if active is None:
        return 0
    inactive = _inactive_users(store, users_prefix(active.generation), before, damaged)
    forgotten = sum(_expire(store, chunk, before, damaged) for chunk in chunks(inactive, _CHUNK))
    damaged.report(on_warning, store.url, "they are kept, because their age is unknown")
    return forgotten


def _inactive_users(
    store: Store, prefix: bytes, before: float, damaged: DamagedRecords
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


def _expire(store: Store, users: Sequence[str], before: float, damaged: DamagedRecords) -> int:
    """Forget the inactive users, one at a time if a record or tombstone is damaged."""
    try:
        return forget_users(store, users, before=before)
    except DamagedRecordError:
        if len(users) > 1:
            return sum(_expire(store, [user], before, damaged) for user in users)
        damaged.add(users[0])
        return 0


def _forget(store: Store, users: Sequence[str], through: int, before: float | None) -> int:
    """Forget users in one commit; return the number of users who had a state."""
    once = partial(_forget_once, store, users, through, before)
    return retry_commit(store, [NoWritePause()], once)


def _forget_once(
    store: Store,
    users: Sequence[str],
    through: int,
    before: float | None,
    guards: Sequence[Guard],
) -> int:
    active, retired = read_generations(store)
    generation = FIRST if active is None else active.generation
    current = (generation, generation + 1)  # The active generation, and one being filled.
    keys = [totals_key(number) for number in current]
    keys += [user_key(number, user) for number in (*current, *retired) for user in users]
    keys += [forgotten_key(user) for user in users]
    forgotten = 0

    def changes(values: list[bytes | None]) -> dict[bytes, bytes | None]:
        nonlocal forgotten
        stored = dict(zip(keys, values, strict=True))
        totals = {number: Totals.unpack(stored[totals_key(number)]) for number in current}
        updates: dict[bytes, bytes | None] = {}
        for user in users:
            user_keys = {number: user_key(number, user) for number in (*current, *retired)}
            with_record = [number for number in current if stored[user_keys[number]] is not None]
            records = [_load_record(user, stored[user_keys[n]], through) for n in with_record]
            if before is not None and not (records and records[0].timestamp < before):
                continue
            forgotten += generation in with_record
            for number in with_record:
                totals[number] = replace(totals[number], users=totals[number].users - 1)
                updates[totals_key(number)] = totals[number].pack()
            updates |= {key: None for key in user_keys.values() if stored[key] is not None}
            last = max([through, *(record.ledger.last for record in records)])
            if last > _load_tombstone(user, stored[forgotten_key(user)], through).seq:
                updates[forgotten_key(user)] = Tombstone(last).pack(user)
        return updates

    change_once(store, keys, changes, [*guards, *([] if active is None else [active])])
    return forgotten


def _load_record(user: str, data: bytes | None, through: int) -> UserRecord:
    """Return the user's record; an empty one that ends at ``through`` if it is damaged."""
    assert data is not None
    try:
        return UserRecord.unpack(user, data)
    except CorruptStateError as error:
        _require_through(error, through)
        return UserRecord(b"", b"", ledger=Ledger(through))


def _load_tombstone(user: str, data: bytes | None, through: int) -> Tombstone:
    """Return the user's tombstone; an empty one, to be replaced, if it is damaged."""
    try:
        return Tombstone.unpack(user, data)
    except CorruptStateError as error:
        _require_through(error, through)
        return Tombstone()


def _require_through(error: CorruptStateError, through: int) -> None:
    if not through:
        raise type(error)(
            f"{error}: pass the sequence number through which to forget (--through)"
        ) from error
