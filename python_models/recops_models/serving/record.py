"""Record of one user in the store, with a format version and a checksum."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from recops_models.serving.errors import CorruptStateError
from recops_models.serving.ledger import MAX_GAPS, Ledger
from recops_models.serving.sealed_values import seal, unseal

FORMAT = 1

_MAGIC = b"UIC"
_HEAD = struct.Struct("<3sB16sqqqqqqdB")
_GAP = struct.Struct("<qq")


@dataclass(frozen=True)
class UserRecord:
    """Record of one user.

    The encoding is little-endian. The fields in order:

    - the magic bytes ``UIC`` and the format (u8, currently 1);
    - the model version (16 bytes);
    - count, seen, liked, last, missing and floor (i64 each);
    - the timestamp (f64);
    - the number of gaps (u8), and the two ends of each gap (i64 each);
    - the state (see :class:`~recops_models.serving.layout.StateLayout`);
    - a checksum (:func:`~recops_models.serving.sealed_values.seal`).

    Attributes:
        version: version of the model that wrote the state.
        state: bytes of the state's tensors.
        count: events in the state, from the state's own counter.
        seen: accepted events. Larger than ``count`` if the model's histories hold only likes.
        liked: accepted events that are likes.
        ledger: sequence numbers of the applied events.
        floor: highest sequence number that was forgotten before the record began.
        timestamp: timestamp of the last event.
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
        """Encode and seal the record."""
        ledger = self.ledger
        numbers = (self.count, self.seen, self.liked, ledger.last, ledger.missing, self.floor)
        head = _HEAD.pack(_MAGIC, FORMAT, self.version, *numbers, self.timestamp, len(ledger.gaps))
        gaps = b"".join(_GAP.pack(*gap) for gap in ledger.gaps)
        return seal(user, head + gaps + self.state)

    @classmethod
    def unpack(cls, user: str, data: bytes, state_bytes: int | None = None) -> UserRecord:
        """Decode the result of :meth:`pack`.

        Args:
            user: id of the user.
            data: bytes of the record.
            state_bytes: expected size of the state; None accepts any size.

        Raises:
            DamagedRecordError: the checksum does not match.
            CorruptStateError: the record has a newer format, or a state of another size.
        """
        body = unseal(user, data, "the state")
        if len(body) < _HEAD.size:
            raise CorruptStateError(f"the state of {user!r} is truncated")
        magic, version_of_format, version, *numbers, timestamp, num_gaps = _HEAD.unpack_from(body)
        if magic != _MAGIC or version_of_format != FORMAT or num_gaps > MAX_GAPS:
            raise CorruptStateError(
                f"the state of {user!r} has format {version_of_format}, "
                f"but this version reads {FORMAT}"
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
