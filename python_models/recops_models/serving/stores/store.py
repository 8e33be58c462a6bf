"""A store of bytes by key, which changes all at once or not at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

from recops_models.serving.errors import ConflictError

CLOCK = b"clock"
"""The key of the number of commits, in decimal digits."""

_LOOKS = 4
"""At what a commit was computed from, before it is computed anew."""


class View(NamedTuple):
    """What a store held at one moment.

    Attributes:
        clock: the number of commits before it.
        values: of the keys that were asked for, None where there is none.
    """

    clock: int
    values: list[bytes | None]


class Store(ABC):
    """Bytes by key, the same for every kind of store.

    Writers do not lock: they look (:meth:`view`), compute, and :meth:`commit` on the condition that
    nobody has committed since; who comes second gets a ConflictError and looks again. So any number
    of processes may write, and none overwrites what it has not seen.

    Attributes:
        url: by which it was opened.
        consistent_scan: whether :meth:`scan` tells of one moment, whoever writes meanwhile.
    """

    url: str
    consistent_scan: bool

    def view(self, keys: Sequence[bytes]) -> View:
        """The values of ``keys``, all at one moment.

        Raises:
            StoreAwayError: no answer.
        """
        clock, *values = self._read([CLOCK, *keys])
        return View(int(clock or 0), values)

    @abstractmethod
    def _read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of ``keys``, all at one moment."""

    @abstractmethod
    def commit(self, changes: Mapping[bytes, bytes | None], *, clock: int) -> None:
        """Put or (None) remove values, all or none of them; on the disk when it returns.

        Args:
            changes: by key.
            clock: of the view that they were computed from.

        Raises:
            ConflictError: someone has committed since.
            StoreFullError: no room.
            StoreAwayError: no answer; the changes are there, or none is.
        """

    def commit_upon(
        self, view: View, keys: Sequence[bytes], changes: Mapping[bytes, bytes | None]
    ) -> None:
        """:meth:`commit` what was computed from a view of ``keys``, though others have committed
        since, if they left these values as they were.

        Raises:
            ConflictError: they did not, or came first several times over.
            StoreFullError, StoreAwayError: as of :meth:`commit`.
        """
        now = view
        for _ in range(_LOOKS):
            with suppress(ConflictError):
                self.commit(changes, clock=now.clock)
                return
            now = self.view(keys)
            if now.values != view.values:
                break
        raise ConflictError(f"{self.url}: someone has committed after {view.clock}")

    @abstractmethod
    def scan(self, prefixes: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Every key that begins with one of ``prefixes``, once, with its value: one prefix after
        the other.

        Raises:
            StoreAwayError: no answer.
        """

    @abstractmethod
    def num_bytes(self) -> int:
        """What the store takes, on disk or in memory."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; closing twice is closing once."""

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
