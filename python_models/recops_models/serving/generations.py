"""Generations of states: filling a new one, activating it, and deleting old ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from recops_models.serving.active import Active
from recops_models.serving.commit_retry import retry_commit
from recops_models.serving.guard import Guard
from recops_models.serving.keys import ACTIVE, RETIRED, generation_prefix, meta_key
from recops_models.serving.stores.store import Store, View

FIRST = 1
"""Number of the generation that the first center of an empty store creates."""

MAINTENANCE = "upkeep"
"""Name of the lock for operations that fill a generation."""

_CHUNK = 4096

Changes = Mapping[bytes, bytes | None]
Value = TypeVar("Value")


def change(
    store: Store,
    keys: Sequence[bytes],
    changes: Callable[[list[bytes | None]], Changes],
    guards: Sequence[Guard] = (),
) -> None:
    """Read ``keys``, compute changes from their values, and commit; retried after conflicts.

    Args:
        store: the store.
        keys: keys to read.
        changes: returns the changes for the values of ``keys``. It is called once per attempt.
        guards: preconditions of the commit.

    Raises:
        LostLockError, HeldLockError: a guard raised it.
        StoreError: the store cannot read or write.
    """
    retry_commit(store, guards, partial(change_once, store, keys, changes))


def change_once(
    store: Store,
    keys: Sequence[bytes],
    changes: Callable[[list[bytes | None]], Changes],
    guards: Sequence[Guard],
) -> None:
    """Make one attempt of :func:`change`.

    Raises:
        ConflictError: another commit changed a value that was read.
    """
    read = [*(guard.key for guard in guards), *keys]
    view = store.view(read)
    updates = dict(changes(_check_guards(view, guards)))
    for guard in guards:
        if (value := guard.renewal()) is not None:
            updates[guard.key] = value
    if updates:
        store.commit_if_unchanged(view, read, updates)


def _check_guards(view: View, guards: Sequence[Guard]) -> list[bytes | None]:
    """Check the guards and return the values behind theirs."""
    for guard, value in zip(guards, view.values, strict=False):
        guard.check(value)
    return view.values[len(guards) :]


def read_active(store: Store) -> Active | None:
    """Return the active generation of the store; None if the store is empty."""
    (data,) = store.view([ACTIVE]).values
    return None if data is None else Active.unpack(data)


def read_generations(store: Store) -> tuple[Active | None, list[int]]:
    """Return the active generation and the numbers of retired generations."""
    active, retired = store.view([ACTIVE, RETIRED]).values
    return None if active is None else Active.unpack(active), _numbers(retired)


def next_generation(served: Active | None) -> int:
    """Return the number of the generation to fill.

    In an empty store it is not :data:`FIRST`: a center that opens meanwhile creates that one.
    """
    return 1 + (FIRST if served is None else served.generation)


def start_generation(
    store: Store, target: Active, guards: Sequence[Guard], *, discard: bool
) -> None:
    """Create a generation, or continue one that was started before.

    Args:
        store: the store.
        target: the generation and its model.
        guards: preconditions of every commit.
        discard: delete existing states even if they are of the same model.
    """
    remove_retired(store, guards)
    (existing,) = store.view([meta_key(target.generation)]).values
    if discard or existing != target.pack():
        clear_generation(store, target.generation, guards)
    change(store, [], lambda _: {meta_key(target.generation): target.pack()}, guards)


def activate(store: Store, target: Active, guards: Sequence[Guard]) -> None:
    """Serve ``target`` from now on, and retire the previous generation.

    :func:`remove_retired` deletes the retired generations.
    """

    def changes(values: list[bytes | None]) -> Changes:
        previous, retired = values
        numbers = _numbers(retired)
        if previous is not None:
            numbers.append(Active.unpack(previous).generation)
        return {
            ACTIVE: target.pack(),
            RETIRED: json.dumps(numbers).encode(),
            meta_key(target.generation): None,
        }

    change(store, [ACTIVE, RETIRED], changes, guards)


def remove_retired(store: Store, guards: Sequence[Guard]) -> None:
    """Delete the retired generations."""
    (retired,) = store.view([RETIRED]).values
    for generation in _numbers(retired):
        clear_generation(store, generation, guards)
    if retired is not None:
        change(store, [], partial(_deletions, [RETIRED]), guards)


def _numbers(data: bytes | None) -> list[int]:
    numbers: list[int] = [] if data is None else json.loads(data)
    return numbers


def clear_generation(store: Store, generation: int, guards: Sequence[Guard]) -> None:
    """Delete all keys of a generation in chunks."""
    keys = (key for key, _ in store.scan([generation_prefix(generation)]))
    for chunk in chunks(keys, _CHUNK):
        change(store, [], partial(_deletions, chunk), guards)


def _deletions(keys: list[bytes], _: list[bytes | None]) -> Changes:
    return dict.fromkeys(keys)


def chunks(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Split ``values`` into lists of at most ``size``."""
    remaining = iter(values)
    while chunk := list(islice(remaining, size)):
        yield chunk
