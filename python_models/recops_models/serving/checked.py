"""Values of a store with a checksum over their key and themselves."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import ClassVar

from recops_models.serving.errors import CorruptStateError, DamagedRecordError

_DIGEST = 8


def sealed(owner: str, body: bytes) -> bytes:
    """``body`` and 8 bytes of BLAKE2b over its owner and itself: a value, moved to another's key,
    is as damaged as one with a flipped bit.
    """
    return body + _digest(owner, body)


def unsealed(owner: str, data: bytes, what: str) -> bytes:
    """What :func:`sealed` was given.

    Raises:
        DamagedRecordError: damaged, or another's; the text names ``what`` and its owner.
    """
    body = data[:-_DIGEST]
    if len(data) < _DIGEST or data[-_DIGEST:] != _digest(owner, body):
        raise DamagedRecordError(f"{what} of {owner!r} is damaged (checksum mismatch)")
    return body


def _digest(owner: str, body: bytes) -> bytes:
    return hashlib.blake2b(owner.encode() + b"\0" + body, digest_size=_DIGEST).digest()


@dataclass(frozen=True)
class ItemCount:
    """How many events an item was in, and how many of them said liked: i64 each."""

    seen: int = 0
    liked: int = 0

    _FORM: ClassVar = struct.Struct("<qq")

    def plus(self, liked: bool) -> ItemCount:
        """With one event more."""
        return ItemCount(self.seen + 1, self.liked + liked)

    def pack(self, owner: str) -> bytes:
        """The bytes."""
        return sealed(owner, self._FORM.pack(self.seen, self.liked))

    @classmethod
    def unpack(cls, owner: str, data: bytes | None) -> ItemCount:
        """What :meth:`pack` gave; of nothing, nothing.

        Raises:
            DamagedRecordError: damaged, or another's.
        """
        return cls() if data is None else cls(*cls._FORM.unpack(unsealed(owner, data, "the count")))


@dataclass(frozen=True)
class Totals:
    """Of a generation: events, how many of them liked, and users with a record: i64 each."""

    seen: int = 0
    liked: int = 0
    users: int = 0

    _FORM: ClassVar = struct.Struct("<qqq")

    def pack(self) -> bytes:
        """The bytes."""
        return sealed("all", self._FORM.pack(self.seen, self.liked, self.users))

    @classmethod
    def unpack(cls, data: bytes | None) -> Totals:
        """What :meth:`pack` gave; of nothing, nothing.

        Raises:
            CorruptStateError: damaged: nobody's events can be counted then.
        """
        if data is None:
            return cls()
        try:
            return cls(*cls._FORM.unpack(unsealed("all", data, "the count")))
        except DamagedRecordError as error:
            raise CorruptStateError(str(error)) from error


@dataclass(frozen=True)
class Tombstone:
    """That a user's events up to ``seq`` are forgotten, whoever sends or restores them: i64."""

    seq: int = 0

    _FORM: ClassVar = struct.Struct("<q")

    def pack(self, user: str) -> bytes:
        """The bytes."""
        return sealed(user, self._FORM.pack(self.seq))

    @classmethod
    def unpack(cls, user: str, data: bytes | None) -> Tombstone:
        """What :meth:`pack` gave; of nothing, nothing.

        Raises:
            DamagedRecordError: damaged, or another's.
        """
        if data is None:
            return cls()
        return cls(*cls._FORM.unpack(unsealed(user, data, "the tombstone")))
