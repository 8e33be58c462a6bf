"""An event as it arrives: checked once, field by field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from recops_models.serving.errors import FieldError

MOST_ID_BYTES = 400
"""Of an id in UTF-8: with what stands before it, a key of LMDB has room for 511 bytes."""

LARGEST = 2**63 - 1
"""Of integers: ids and sequence numbers are kept as i64."""

_OWN = ("user_id", "item_id", "timestamp", "seq")


@dataclass(frozen=True)
class UserEvent:
    """That a user did something with an item.

    Attributes:
        user: the id, as text: 7 and "7" are one user.
        item: the id, likewise.
        timestamp: in whatever unit the sender keeps to.
        seq: the user's own counter, from 1.
        features: everything else that was sent.
    """

    user: str
    item: str
    timestamp: float
    seq: int
    features: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, content: object) -> UserEvent:
        """The event that JSON or a row of a table tells.

        Raises:
            FieldError: a field is missing or not what it must be.
        """
        if not isinstance(content, Mapping):
            raise FieldError("event", f"must be an object, got {_shown(content)}")
        for name in _OWN:
            if name not in content:
                raise FieldError(name, "must be there")
        return cls(
            id_text("user_id", content["user_id"]),
            id_text("item_id", content["item_id"]),
            _timestamp(content["timestamp"]),
            _seq(content["seq"]),
            {name: value for name, value in content.items() if name not in _OWN},
        )


def id_text(name: str, value: object) -> str:
    """An id, an integer or text, as text.

    Raises:
        FieldError: it is neither, or empty, or too long.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return str(value)
    if not isinstance(value, str) or not value:
        raise FieldError(name, f"must be an integer or text, got {_shown(value)}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise FieldError(name, f"must be text that UTF-8 can hold, got {_shown(value)}") from None
    if size > MOST_ID_BYTES:
        raise FieldError(name, f"must be at most {MOST_ID_BYTES} bytes, got {size}")
    return value


def _seq(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
        raise FieldError("seq", f"must be an integer from 1 to 2^63 - 1, got {_shown(value)}")
    return value


def _timestamp(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
        if math.isfinite(seconds):
            return seconds
    raise FieldError("timestamp", f"must be a finite number, got {_shown(value)}")


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
