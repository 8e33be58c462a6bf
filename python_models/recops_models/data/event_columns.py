"""Columns of events that click models read, and the time at which their values are known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Known = Literal["before", "after"]
Per = Literal["request", "item"]

_CONTEXT = frozenset(
    (
        *("app", "browser", "campaign", "channel", "city", "country", "day", "device", "hour"),
        *("language", "locale", "medium", "month", "network", "os", "page", "platform", "query"),
        *("referer", "referrer", "region", "season", "source", "weather", "weekday"),
    )
)
"""Words in names of columns that are known before the user chooses an item."""

_OFFER = frozenset(("discount", "price"))
"""Words in names of columns that are known before, and differ between items."""


@dataclass(frozen=True)
class EventColumn:
    """Column of the events that a click model reads.

    Attributes:
        name: name of the column.
        known: ``"before"``: the value is known when items are shown, such as a device; it is a
            feature of the request and of the history. ``"after"``: the value is an outcome of the
            event, such as a dwell time; it is a feature of the history only.
        per: ``"request"``: one value for all items of a request. ``"item"``: each item has its
            value, such as a price. Items that are not those of the event then have the value of
            their last earlier event.
    """

    name: str
    known: Known = "before"
    per: Per = "request"

    @classmethod
    def suggested(cls, name: str) -> EventColumn:
        """Return the use of a column by the words in its name; ``known="after"`` if in doubt.

        Example:
            >>> EventColumn.suggested("device_type").known, EventColumn.suggested("dwell").known
            ('before', 'after')
        """
        words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
        if words & _OFFER:
            return cls(name, per="item")
        return cls(name) if words & _CONTEXT else cls(name, known="after")
