"""A lock in a store that expires, with a token that fences its former holders off."""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from recops_models.serving.errors import ConflictError, StoreAwayError, StoreError
from recops_models.serving.keys import lock_key
from recops_models.serving.stores.store import Store

SECONDS = 10.0
"""Without a sign of life, a lock is anybody's after so long."""

PAUSE = "pause"
"""The lock whose holder has all others wait with their writes."""


_POLL = 0.05

ResultT = TypeVar("ResultT")


class LostLockError(StoreError):
    """Someone else has taken the lock meanwhile, or written as nobody may under it."""


class HeldLockError(StoreAwayError):
    """Someone else holds the lock."""


@dataclass(frozen=True)
class _Holder:
    owner: str = ""
    token: int = 0
    expires: float = 0.0

    @classmethod
    def of(cls, data: bytes | None) -> _Holder:
        return cls() if data is None else cls(**json.loads(data))

    def pack(self) -> bytes:
        return json.dumps(vars(self)).encode()

    def freed(self) -> _Holder:
        """The lock without this holder, who cannot hold it on from then."""
        return _Holder("", self.token + 1, 0.0)

    def is_there(self) -> bool:
        """Whether the lock is held: not past its time, and not by a process of this machine that
        is no more.
        """
        return self.expires > time.time() and not _is_gone(self.owner)


class Lock:
    """Held by one process at a time; whoever writes under it shows its token in the same commit.

    A holder that slept past its time cannot write any more once someone has taken the lock, or has
    written where the holder had all wait (:class:`NotPaused`): the token in the store is higher by
    then. Clocks of machines that differ make a lock expire early or late, and endanger nothing.

    Args:
        store: in which it lies.
        name: of the lock.
        seconds: after which it expires, unless it is renewed: with every commit under it, or by
            :meth:`renew`.
    """

    def __init__(self, store: Store, name: str, *, seconds: float = SECONDS) -> None:
        self.key = lock_key(name)
        self._store, self._name, self._seconds = store, name, seconds
        self._owner, self._token, self._renewed = _this_process(), 0, 0.0

    def acquire(self) -> None:
        """Take it.

        Raises:
            HeldLockError: someone holds it.
        """
        while True:
            view = self._store.view([self.key])
            holder = _Holder.of(view.values[0])
            if holder.is_there() and (holder.owner, holder.token) != (self._owner, self._token):
                raise HeldLockError(
                    f"{self._store.url}: {self._name} is held by {holder.owner} "
                    f"for {holder.expires - time.time():.1f} s more"
                )
            self._token = holder.token + 1
            try:
                self._store.commit({self.key: self.renewed()}, clock=view.clock)
            except ConflictError:
                continue
            return

    def check(self, value: bytes | None) -> None:
        """Raises LostLockError unless ``value``, of :attr:`key`, shows this holder's token."""
        holder = _Holder.of(value)
        if (holder.owner, holder.token) == (self._owner, self._token):
            return
        if holder.owner:
            raise LostLockError(f"{self._store.url}: {self._name} was taken by {holder.owner}")
        raise LostLockError(
            f"{self._store.url}: {self._name} was held without a sign of life for more than "
            f"{self._seconds:g} s, and others have gone on: try again"
        )

    def require(self) -> None:
        """Raises LostLockError where it is not held any longer, whatever the clock here says."""
        self.check(self._store.view([self.key]).values[0])

    def renewed(self) -> bytes:
        """What to commit for :attr:`key`, to hold it on."""
        self._renewed = time.time()
        return _Holder(self._owner, self._token, self._renewed + self._seconds).pack()

    def renew(self) -> None:
        """Hold it on, where a third of its time is over.

        Raises:
            LostLockError: someone else has taken it.
        """
        while time.time() - self._renewed > self._seconds / 3:
            view = self._store.view([self.key])
            self.check(view.values[0])
            try:
                self._store.commit({self.key: self.renewed()}, clock=view.clock)
            except ConflictError:
                self._renewed = 0.0

    def release(self) -> None:
        """Let others have it; what is no longer held stays as it is."""
        while True:
            view = self._store.view([self.key])
            try:
                self.check(view.values[0])
                free = _Holder("", self._token, 0.0).pack()
                self._store.commit({self.key: free}, clock=view.clock)
            except LostLockError:
                return
            except ConflictError:
                continue
            return

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


def patiently(write: Callable[[], ResultT], patience: float) -> ResultT:
    """What ``write`` gives, once nobody has it wait; it waits at most so many seconds, in which
    those that ``write`` itself takes are not counted.

    Raises:
        HeldLockError: still someone has.
    """
    for _ in range(math.ceil(patience / _POLL)):
        with suppress(HeldLockError):
            return write()
        time.sleep(_POLL)
    return write()


@contextmanager
def paused(store: Store) -> Iterator[Lock]:
    """Holds :data:`PAUSE`, for which it waits a little: a slow writer may, for one commit.

    Raises:
        HeldLockError: still someone else does.
    """
    pause = Lock(store, PAUSE)
    patiently(pause.acquire, SECONDS / 2)  # Another lock that is held meanwhile must not expire.
    try:
        yield pause
    finally:
        pause.release()


class NotPaused:
    """The guard of whoever gives way to the holder of :data:`PAUSE`.

    A holder whose time is over may still wake, and must not go on as if nothing had been written:
    whoever writes then frees the lock in the same commit.
    """

    key = lock_key(PAUSE)

    def __init__(self) -> None:
        self._found = _Holder()

    def check(self, value: bytes | None) -> None:
        """Raises HeldLockError while someone holds it."""
        self._found = _Holder.of(value)
        if self._found.is_there():
            raise HeldLockError("writing pauses")

    def renewed(self) -> bytes | None:
        """The lock without the holder that let its time run out; None: nobody did."""
        return self._found.freed().pack() if self._found.owner else None


def _this_process() -> str:
    """Machine since its start and name space, process, its start; or a name drawn at random."""
    try:
        machine = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = Path("/proc/self/ns/pid").stat().st_ino
        return f"{machine}-{space}:{os.getpid()}:{_started(os.getpid())}"
    except OSError:
        return str(uuid.uuid4())


def _is_gone(owner: str) -> bool:
    """Whether it was a process of this machine, and is no more."""
    machine, _, process = owner.partition(":")
    number, _, started = process.partition(":")
    if not number or machine != _this_process().partition(":")[0]:
        return False
    try:
        return _started(int(number)) != started
    except OSError:
        return True


def _started(process: int) -> str | None:
    """When the process started; None of one that has ended and is not yet forgotten."""
    stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return None if stat[0] == "Z" else stat[19]
