"""A commit that others forestall again and again: at last they wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TypeVar

from recops_models.serving.applied import Guard
from recops_models.serving.errors import ConflictError
from recops_models.serving.locks import PAUSE, HeldLockError, Lock
from recops_models.serving.stores.store import Store

MOST_CONFLICTS = 4
"""In a row, that a writer bears."""

ResultT = TypeVar("ResultT")


def getting_through(
    store: Store, guards: Sequence[Guard], write: Callable[[Sequence[Guard]], ResultT]
) -> ResultT:
    """What ``write`` gives, however often others commit first.

    Writers do not wait for each other, so a slow one could lose to quick ones for ever. After
    :data:`MOST_CONFLICTS` it holds :data:`PAUSE` for as long as its next try takes, as far as
    nobody else does: then those who are quick wait anyway.

    Args:
        store: that is written.
        guards: of the commit. With the pause its lock is one of them, in the place of
            :class:`NotPaused`.
        write: looks, computes and commits once, under the guards that it is given; ConflictError
            says that someone has committed meanwhile.

    Raises:
        HeldLockError: someone else pauses writing, and a guard gives way.
        LostLockError: the pause ran out, or a guard says so.
        StoreError: as of ``write``.
    """
    pause = Lock(store, PAUSE)
    others = [guard for guard in guards if guard.key != pause.key]
    paused = any(isinstance(guard, Lock) and guard.key == pause.key for guard in guards)
    conflicts = 0
    while True:
        with ExitStack() as held, suppress(ConflictError):
            shown = guards
            if conflicts >= MOST_CONFLICTS and not paused:
                with suppress(HeldLockError):
                    held.enter_context(pause)
                    shown = [pause, *others]
            return write(shown)
        conflicts += 1
