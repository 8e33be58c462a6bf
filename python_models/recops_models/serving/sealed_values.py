"""Values of a store, each with a checksum over its key and content."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import ClassVar

from recops_models.serving.errors import CorruptStateError, DamagedRecordError

_DIGEST_BYTES = 8


def seal(owner: str, body: bytes) -> bytes:
    """Append an 8-byte BLAKE2b checksum of ``owner`` and ``body`` to ``body``.

    The checksum detects flipped bits, and also a value that was copied to another owner's key.
    """
    return body + _digest(owner, body)


def unseal(owner: str, data: bytes, what: str) -> bytes:
    """Return the body that :func:`seal` was called with.

    Args:
        owner: user or item that the value belongs to.
        data: the sealed value.
        what: name of the value in error messages.

    Raises:
        DamagedRecordError: the checksum does not match.
    """
    body = data[:-_DIGEST_BYTES]
    if len(data) < _DIGEST_BYTES or data[-_DIGEST_BYTES:] != _digest(owner, body):
        raise DamagedRecordError(f"{what} of {owner!r} is damaged (checksum mismatch)")
    return body


def _digest(owner: str, body: bytes) -> bytes:
    return hashlib.blake2b(owner.encode() + b"\0" + body, digest_size=_DIGEST_BYTES).digest()


@dataclass(frozen=True)
class ItemCount:
    """Number of events with an item, and how many of them are likes. Two i64 in bytes."""

    seen: int = 0
    liked: int = 0

    _FORMAT: ClassVar = struct.Struct("<qq")

    def plus(self, liked: bool) -> ItemCount:
        """Return the counts after one more event."""
        return ItemCount(self.seen + 1, self.liked + liked)

    def pack(self, owner: str) -> bytes:
        """Encode and seal the counts for the item ``owner``."""
        return seal(owner, self._FORMAT.pack(self.seen, self.liked))

    @classmethod
    def unpack(cls, owner: str, data: bytes | None) -> ItemCount:
        """Decode the result of :meth:`pack`; zeros for None.

        Raises:
            DamagedRecordError: the checksum does not match.
        """
        if data is None:
            return cls()
        return cls(*cls._FORMAT.unpack(unseal(owner, data, "the count")))


@dataclass(frozen=True)
class Totals:
    """Totals of a generation: events, likes, and users with a record. Three i64 in bytes."""

    seen: int = 0
    liked: int = 0
    users: int = 0

    _FORMAT: ClassVar = struct.Struct("<qqq")

    def pack(self) -> bytes:
        """Encode and seal the totals."""
        return seal("all", self._FORMAT.pack(self.seen, self.liked, self.users))

    @classmethod
    def unpack(cls, data: bytes | None) -> Totals:
        """Decode the result of :meth:`pack`; zeros for None.

        Raises:
            CorruptStateError: the checksum does not match, so that no event can be counted.
        """
        if data is None:
            return cls()
        try:
            return cls(*cls._FORMAT.unpack(unseal("all", data, "the count")))
        except DamagedRecordError as error:
            raise CorruptStateError(str(error)) from error


@dataclass(frozen=True)
class Tombstone:
    """Mark that a user's events up to ``seq`` are forgotten and must not return. i64 in bytes."""

    seq: int = 0

    _FORMAT: ClassVar = struct.Struct("<q")

    def pack(self, user: str) -> bytes:
        """Encode and seal the tombstone of ``user``."""
        return seal(user, self._FORMAT.pack(self.seq))

    @classmethod
    def unpack(cls, user: str, data: bytes | None) -> Tombstone:
        """Decode the result of :meth:`pack`; number 0 for None.

        Raises:
            DamagedRecordError: the checksum does not match.
        """
        if data is None:
            return cls()
        return cls(*cls._FORMAT.unpack(unseal(user, data, "the tombstone")))
