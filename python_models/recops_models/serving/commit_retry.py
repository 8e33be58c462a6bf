"""Commits that are retried after conflicts and finally stop other writers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TypeVar

from recops_models.serving.errors import ConflictError
from recops_models.serving.guard import Guard
from recops_models.serving.locks import WRITE_PAUSE, HeldLockError, Lock
from recops_models.serving.stores.store import Store

MAX_CONFLICTS = 4
"""Consecutive conflicts after which a writer stops other writers."""

ResultT = TypeVar("ResultT")


def retry_commit(
    store: Store, guards: Sequence[Guard], write: Callable[[Sequence[Guard]], ResultT]
) -> ResultT:
    """Return the result of ``write``, retried while it raises ConflictError.

    Writers do not wait for each other, so a slow writer could lose to fast ones forever. After
    :data:`MAX_CONFLICTS` conflicts it tries to hold :data:`WRITE_PAUSE` during each attempt, which
    stops the others.

    Args:
        store: the store.
        guards: guards of the commit. While this function holds the pause, that lock replaces a
            guard on the same key (:class:`~recops_models.serving.locks.NoWritePause`).
        write: reads, computes and commits once under the guards that it receives.

    Raises:
        HeldLockError: another process pauses writing, and a guard forbids that.
        LostLockError: a lock among the guards, or the pause, expired and was taken.
        StoreError: an error of ``write``.
    """
    pause = Lock(store, WRITE_PAUSE)
    other_guards = [guard for guard in guards if guard.key != pause.key]
    holds_pause = any(isinstance(guard, Lock) and guard.key == pause.key for guard in guards)
    conflicts = 0
    while True:
        with ExitStack() as locks, suppress(ConflictError):
            attempt_guards = guards
            if conflicts >= MAX_CONFLICTS and not holds_pause:
                with suppress(HeldLockError):
                    locks.enter_context(pause)
                    attempt_guards = [pause, *other_guards]
            return write(attempt_guards)
        conflicts += 1
