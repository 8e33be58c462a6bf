"""Event of a user with an item, validated field by field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from recops_models.serving.errors import FieldError

MAX_ID_BYTES = 400
"""Longest id in UTF-8 bytes. LMDB keys, which include a prefix, hold at most 511 bytes."""

MAX_INT64 = 2**63 - 1
"""Largest integer id or sequence number."""

_OWN = ("user_id", "item_id", "timestamp", "seq")


@dataclass(frozen=True)
class UserEvent:
    """Event of a user with an item.

    Attributes:
        user: user id as text: 7 and "7" are the same user.
        item: item id as text.
        timestamp: time of the event. The sender chooses the unit.
        seq: sequence number of the event within its user, from 1.
        features: all other fields of the event.
    """

    user: str
    item: str
    timestamp: float
    seq: int
    features: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, content: object) -> UserEvent:
        """Return the event in a JSON object or a table row.

        Raises:
            FieldError: a field is missing or invalid.
        """
        if not isinstance(content, Mapping):
            raise FieldError("event", f"must be an object, got {_shown(content)}")
        for name in _OWN:
            if name not in content:
                raise FieldError(name, "must be present")
        return cls(
            id_text("user_id", content["user_id"]),
            id_text("item_id", content["item_id"]),
            _timestamp(content["timestamp"]),
            _seq(content["seq"]),
            {name: value for name, value in content.items() if name not in _OWN},
        )


def id_text(name: str, value: object) -> str:
    """Return an integer or text id as text.

    Raises:
        FieldError: ``value`` is of another type, empty, or too long.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INT64:
        return str(value)
    if not isinstance(value, str) or not value:
        raise FieldError(name, f"must be an integer or text, got {_shown(value)}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise FieldError(name, f"must be text that UTF-8 can hold, got {_shown(value)}") from None
    if size > MAX_ID_BYTES:
        raise FieldError(name, f"must be at most {MAX_ID_BYTES} bytes, got {size}")
    return value


def _seq(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_INT64:
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
