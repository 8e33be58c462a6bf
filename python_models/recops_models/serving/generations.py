"""Filling a generation of states beside the one that is served, and the switch to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from recops_models.serving.active import Active
from recops_models.serving.applied import Guard
from recops_models.serving.getting_through import getting_through
from recops_models.serving.keys import ACTIVE, LEFT, generation_prefix, meta_key
from recops_models.serving.stores.store import Store, View

FIRST = 1
"""The generation that an empty store's first center begins."""

UPKEEP = "upkeep"
"""The lock of whoever fills a generation."""

_CHUNK = 4096

Changes = Mapping[bytes, bytes | None]
Value = TypeVar("Value")


def change(
    store: Store,
    keys: Sequence[bytes],
    changes: Callable[[list[bytes | None]], Changes],
    guards: Sequence[Guard] = (),
) -> None:
    """Commit what follows from the values of ``keys``, however often others come first.

    Raises:
        LostLockError, HeldLockError: a guard says so.
        StoreError: the store cannot read or write.
    """
    getting_through(store, guards, partial(change_once, store, keys, changes))


def change_once(
    store: Store,
    keys: Sequence[bytes],
    changes: Callable[[list[bytes | None]], Changes],
    guards: Sequence[Guard],
) -> None:
    """:func:`change`, unless others come first.

    Raises:
        ConflictError: they did.
    """
    read = [*(guard.key for guard in guards), *keys]
    view = store.view(read)
    found = dict(changes(_checked(view, guards)))
    for guard in guards:
        if (value := guard.renewed()) is not None:
            found[guard.key] = value
    if found:
        store.commit_upon(view, read, found)


def _checked(view: View, guards: Sequence[Guard]) -> list[bytes | None]:
    for guard, value in zip(guards, view.values, strict=False):
        guard.check(value)
    return view.values[len(guards) :]


def served_now(store: Store) -> Active | None:
    """What the store serves; None of an empty store."""
    (data,) = store.view([ACTIVE]).values
    return None if data is None else Active.unpack(data)


def generations_now(store: Store) -> tuple[Active | None, list[int]]:
    """What the store serves, and the numbers of those it served before and has not removed yet."""
    active, left = store.view([ACTIVE, LEFT]).values
    return None if active is None else Active.unpack(active), _numbers(left)


def generation_after(served: Active | None) -> int:
    """The number of the one to be filled: of an empty store not :data:`FIRST`, which is that of
    whoever opens a center on it meanwhile.
    """
    return 1 + (FIRST if served is None else served.generation)


def begin_generation(store: Store, wanted: Active, guards: Sequence[Guard], *, anew: bool) -> None:
    """Make room for a generation, which may have been begun before.

    Args:
        store: of the states.
        wanted: what it is to be.
        guards: of every commit.
        anew: remove what is there even if it is of the same model.
    """
    sweep(store, guards)
    (found,) = store.view([meta_key(wanted.generation)]).values
    if anew or found != wanted.pack():
        clear_generation(store, wanted.generation, guards)
    change(store, [], lambda _: {meta_key(wanted.generation): wanted.pack()}, guards)


def switch(store: Store, wanted: Active, guards: Sequence[Guard]) -> None:
    """Serve a generation from now on; the one that was served is :func:`sweep`'s to remove."""

    def changes(values: list[bytes | None]) -> Changes:
        before, left = values
        old = _numbers(left) + ([] if before is None else [Active.unpack(before).generation])
        return {
            ACTIVE: wanted.pack(),
            LEFT: json.dumps(old).encode(),
            meta_key(wanted.generation): None,
        }

    change(store, [ACTIVE, LEFT], changes, guards)


def sweep(store: Store, guards: Sequence[Guard]) -> None:
    """Remove the generations that are served no longer."""
    (left,) = store.view([LEFT]).values
    for generation in _numbers(left):
        clear_generation(store, generation, guards)
    if left is not None:
        change(store, [], partial(_nothing_at, [LEFT]), guards)


def _numbers(data: bytes | None) -> list[int]:
    found: list[int] = [] if data is None else json.loads(data)
    return found


def clear_generation(store: Store, generation: int, guards: Sequence[Guard]) -> None:
    """Remove all keys of a generation, some at a time."""
    keys = (key for key, _ in store.scan([generation_prefix(generation)]))
    for chunk in chunks(keys, _CHUNK):
        change(store, [], partial(_nothing_at, chunk), guards)


def _nothing_at(keys: list[bytes], _: list[bytes | None]) -> Changes:
    return dict.fromkeys(keys)


def chunks(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Lists of at most ``size``."""
    remaining = iter(values)
    while chunk := list(islice(remaining, size)):
        yield chunk
