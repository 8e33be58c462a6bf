"""A user's record in the store: bytes with a version and a checksum."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from recops_models.serving.checked import sealed, unsealed
from recops_models.serving.errors import CorruptStateError
from recops_models.serving.ledger import MOST_GAPS, Ledger

FORMAT = 1

_MAGIC = b"UIC"
_HEAD = struct.Struct("<3sB16sqqqqqqdB")
_GAP = struct.Struct("<qq")


@dataclass(frozen=True)
class UserRecord:
    """What a store keeps of a user.

    In bytes, little-endian: ``UIC``, the format (u8, now 1), the model's version (16 bytes), then
    as i64 count, seen, liked, last, missing and floor, the timestamp (f64), the number of gaps (u8)
    and both ends of each (i64), the state (see :class:`~recops_models.serving.layout.StateLayout`),
    and a checksum (:func:`~recops_models.serving.checked.sealed`).

    Attributes:
        version: of the model that wrote the state.
        state: the tensors' bytes.
        count: events in the state, the state's own counter.
        seen: events accepted; more than ``count`` where the model's histories hold liked ones
            alone.
        liked: how many of them were liked.
        ledger: which of them have been applied.
        floor: events up to this number were forgotten, and are no part of the record.
        timestamp: of the last event.
    """

    version: bytes
    state: bytes
    count: int = 0
    seen: int = 0
    liked: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    floor: int = 0
    timestamp: float = 0.0

    def pack(self, user: str) -> bytes:
        """The record's bytes."""
        ledger = self.ledger
        numbers = (self.count, self.seen, self.liked, ledger.last, ledger.missing, self.floor)
        head = _HEAD.pack(_MAGIC, FORMAT, self.version, *numbers, self.timestamp, len(ledger.gaps))
        gaps = b"".join(_GAP.pack(*gap) for gap in ledger.gaps)
        return sealed(user, head + gaps + self.state)

    @classmethod
    def unpack(cls, user: str, data: bytes, state_bytes: int | None = None) -> UserRecord:
        """The record that :meth:`pack` gave.

        Args:
            user: whose it is.
            data: its bytes.
            state_bytes: how many a state of the model has; None: any number.

        Raises:
            DamagedRecordError: damaged, or another user's.
            CorruptStateError: of a newer format, or of another size.
        """
        body = unsealed(user, data, "the state")
        if len(body) < _HEAD.size:
            raise CorruptStateError(f"the state of {user!r} is cut short")
        magic, version_of_format, version, *numbers, timestamp, num_gaps = _HEAD.unpack_from(body)
        if magic != _MAGIC or version_of_format != FORMAT or num_gaps > MOST_GAPS:
            raise CorruptStateError(
                f"the state of {user!r} is of format {version_of_format}, "
                f"but this recops reads {FORMAT}"
            )
        count, seen, liked, last, missing, floor = numbers
        start = _HEAD.size + num_gaps * _GAP.size
        gaps = tuple(_GAP.iter_unpack(body[_HEAD.size : start]))
        state = body[start:]
        if state_bytes is not None and len(state) != state_bytes:
            raise CorruptStateError(
                f"the state of {user!r} must be {state_bytes} bytes, got {len(state)}"
            )
        ledger = Ledger(last, missing, gaps)
        return cls(version, state, count, seen, liked, ledger, floor, timestamp)
