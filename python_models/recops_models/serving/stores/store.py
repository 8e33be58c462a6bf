"""Interface of a key-value store with atomic commits and optimistic concurrency."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

from recops_models.serving.errors import ConflictError

CLOCK = b"clock"
"""Key of the commit counter, in decimal digits."""

_COMMIT_ATTEMPTS = 4
"""Attempts of a commit whose input values are unchanged."""


class View(NamedTuple):
    """Consistent read of several keys.

    Attributes:
        clock: number of commits before the read.
        values: values of the requested keys; None for a missing key.
    """

    clock: int
    values: list[bytes | None]


class Store(ABC):
    """Key-value store of bytes.

    Writers use optimistic concurrency. They read with :meth:`view`, compute, and :meth:`commit` if
    nobody else has committed since. The loser of a race gets a ConflictError and
    reads again. Any number of processes may write, and none overwrites values that it has not read.

    Attributes:
        url: URL of the store, without credentials.
        consistent_scan: whether :meth:`scan` reads one consistent state despite concurrent writes.
    """

    url: str
    consistent_scan: bool

    def view(self, keys: Sequence[bytes]) -> View:
        """Read the values of ``keys`` consistently.

        Raises:
            StoreAwayError: the store does not answer.
        """
        clock, *values = self._read([CLOCK, *keys])
        return View(int(clock or 0), values)

    @abstractmethod
    def _read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the values of ``keys`` consistently."""

    @abstractmethod
    def commit(self, changes: Mapping[bytes, bytes | None], *, clock: int) -> None:
        """Write all changes atomically and durably.

        Args:
            changes: new value by key; None deletes the key.
            clock: clock of the view that the changes were computed from.

        Raises:
            ConflictError: another commit has happened since that view.
            StoreFullError: the store has no free space.
            StoreAwayError: the store does not answer. Either all changes are written or none.
        """

    def commit_if_unchanged(
        self, view: View, keys: Sequence[bytes], changes: Mapping[bytes, bytes | None]
    ) -> None:
        """Commit changes if the values of ``keys`` are still those of ``view``.

        Unlike :meth:`commit`, this accepts other commits that did not change these values.

        Raises:
            ConflictError: a value has changed, or every attempt lost against another commit.
            StoreFullError, StoreAwayError: see :meth:`commit`.
        """
        current = view
        for _ in range(_COMMIT_ATTEMPTS):
            with suppress(ConflictError):
                self.commit(changes, clock=current.clock)
                return
            current = self.view(keys)
            if current.values != view.values:
                break
        raise ConflictError(f"{self.url}: another commit followed {view.clock}")

    @abstractmethod
    def scan(self, prefixes: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Yield each key with one of ``prefixes`` once, with its value, prefix by prefix.

        Raises:
            StoreAwayError: the store does not answer.
        """

    @abstractmethod
    def num_bytes(self) -> int:
        """Return the size of the store in bytes, on disk or in memory."""

    @abstractmethod
    def close(self) -> None:
        """Close the store. A second call does nothing."""

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
