"""Expiring locks in a store, with fencing tokens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TypeVar

from recops_models.serving.errors import ConflictError, StoreAwayError, StoreError
from recops_models.serving.keys import lock_key
from recops_models.serving.lock_owner import current_owner
from recops_models.serving.lock_record import LockRecord
from recops_models.serving.stores.store import Store

LOCK_SECONDS = 10.0
"""Seconds after which a lock expires unless its holder renews it."""

WRITE_PAUSE = "pause"
"""Name of the lock whose holder stops all other writers."""

_POLL_SECONDS = 0.05

ResultT = TypeVar("ResultT")


class LostLockError(StoreError):
    """The lock expired, and another process has acquired or revoked it."""


class HeldLockError(StoreAwayError):
    """Another process holds the lock."""


class Lock:
    """Lock in a store with one holder at a time.

    Each acquisition increases a fencing token. A holder writes the lock's renewed record in the
    same commit as its data, and the commit fails if the stored token differs. A holder that slept
    past the expiry therefore cannot write after another process has acquired the lock, or has
    revoked it (:class:`NoWritePause`). Clock differences between machines change only the time of
    expiry.

    Args:
        store: store that holds the lock.
        name: name of the lock.
        seconds: time after which the lock expires. Every commit under the lock renews it, and so
            does :meth:`renew`.
    """

    def __init__(self, store: Store, name: str, *, seconds: float = LOCK_SECONDS) -> None:
        self.key = lock_key(name)
        self._store, self._name, self._seconds = store, name, seconds
        self._record = LockRecord(current_owner())
        self._renewed_at = 0.0

    def acquire(self) -> None:
        """Acquire the lock.

        Raises:
            HeldLockError: another process holds it.
        """
        while True:
            view = self._store.view([self.key])
            stored = LockRecord.unpack(view.values[0])
            if stored.is_held() and not self._is_holder(stored):
                raise HeldLockError(
                    f"{self._store.url}: {self._name} is held by {stored.owner} "
                    f"for {stored.expires - time.time():.1f} s more"
                )
            self._record = stored.acquired_by(self._record.owner, expires=0.0)
            with suppress(ConflictError):
                self._store.commit({self.key: self.renewal()}, clock=view.clock)
                return

    def check(self, value: bytes | None) -> None:
        """Check that the stored ``value`` of :attr:`key` has this holder's fencing token.

        Raises:
            LostLockError: it has another token.
        """
        stored = LockRecord.unpack(value)
        if self._is_holder(stored):
            return
        if stored.owner:
            raise LostLockError(f"{self._store.url}: {self._name} was taken by {stored.owner}")
        raise LostLockError(
            f"{self._store.url}: {self._name} was not renewed for more than {self._seconds:g} s, "
            "and other processes have written since: try again"
        )

    def require(self) -> None:
        """Check in the store that the lock is still held.

        Raises:
            LostLockError: it is not.
        """
        self.check(self._store.view([self.key]).values[0])

    def renewal(self) -> bytes:
        """Return the value for :attr:`key` that extends the lock from now on."""
        self._renewed_at = time.time()
        self._record = self._record.extended_to(self._renewed_at + self._seconds)
        return self._record.pack()

    def renew(self) -> None:
        """Extend the lock if at least a third of its time has passed.

        Raises:
            LostLockError: another process has acquired or revoked it.
        """
        while time.time() - self._renewed_at > self._seconds / 3:
            view = self._store.view([self.key])
            self.check(view.values[0])
            try:
                self._store.commit({self.key: self.renewal()}, clock=view.clock)
            except ConflictError:
                self._renewed_at = 0.0

    def release(self) -> None:
        """Release the lock; does nothing if another process has acquired or revoked it."""
        while True:
            view = self._store.view([self.key])
            if not self._is_holder(LockRecord.unpack(view.values[0])):
                return
            with suppress(ConflictError):
                self._store.commit({self.key: self._record.released().pack()}, clock=view.clock)
                return

    def _is_holder(self, stored: LockRecord) -> bool:
        return stored.belongs_to(self._record.owner, self._record.token)

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def retry_while_locked(write: Callable[[], ResultT], patience: float) -> ResultT:
    """Return the result of ``write``, retried while it raises HeldLockError.

    Args:
        write: the operation.
        patience: seconds to wait in total, without the time that ``write`` itself takes.

    Raises:
        HeldLockError: the lock is still held after ``patience`` seconds.
    """
    for _ in range(math.ceil(patience / _POLL_SECONDS)):
        with suppress(HeldLockError):
            return write()
        time.sleep(_POLL_SECONDS)
    return write()


@contextmanager
def pause_writes(store: Store) -> Iterator[Lock]:
    """Hold the lock :data:`WRITE_PAUSE`, which stops all other writers.

    A writer may hold this lock during one commit, so this waits half of :data:`LOCK_SECONDS`: a
    lock that the caller already holds does not expire meanwhile.

    Raises:
        HeldLockError: another process still holds it.
    """
    pause = Lock(store, WRITE_PAUSE)
    retry_while_locked(pause.acquire, LOCK_SECONDS / 2)
    try:
        yield pause
    finally:
        pause.release()


class NoWritePause:
    """Guard of ordinary writers: nobody holds :data:`WRITE_PAUSE`.

    A holder whose lock has expired may still wake up, and must then notice that others have
    written. A writer that finds an expired lock therefore revokes it in the same commit.
    """

    key = lock_key(WRITE_PAUSE)

    def __init__(self) -> None:
        self._stored = LockRecord()

    def check(self, value: bytes | None) -> None:
        """Check that the lock with the stored ``value`` is free or expired.

        Raises:
            HeldLockError: a process holds it.
        """
        self._stored = LockRecord.unpack(value)
        if self._stored.is_held():
            raise HeldLockError("writing pauses")

    def renewal(self) -> bytes | None:
        """Return the revoked lock if it has expired in a holder's hands; None if it was free."""
        return self._stored.revoked().pack() if self._stored.owner else None
