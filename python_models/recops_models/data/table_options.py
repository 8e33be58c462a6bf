"""Options for reading a user's own tables: column names, separator, header and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from recops_models.data.errors import DataError
from recops_models.data.times import TimeFormat

TimeUnit = Literal["s", "ms", "us", "order"]

TABLES = ("interactions", "items", "users")


@dataclass(frozen=True)
class TableOptions:
    """Differences between a user's own tables and the canonical ones.

    Attributes:
        columns: names in the tables by canonical name, such as ``{"item_id": "sku"}``.
        separator: character between the fields of text files. None: a tab for ``.tsv``, otherwise
            the comma if the header has one, otherwise its most frequent of ``;``, tab and ``|``.
        header: column names of text files without a header line, by table (``"interactions"``).
        time_unit: unit of numbers in ``timestamp`` since the epoch. ``"order"`` ignores times; the
            rows are in the order of the events.
        time_format: format of text in ``timestamp``; see
            :class:`~recops_models.data.times.TimeFormat`.

    Raises:
        DataError: the separator is not one character, a table of ``header`` is unknown, or the
            unit or format is invalid.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    separator: str | None = None
    header: Mapping[str, Sequence[str]] = field(default_factory=dict)
    time_unit: TimeUnit = "s"
    time_format: str | None = None

    def __post_init__(self) -> None:
        separator = self.separator
        if separator is not None and (len(separator.encode()) != 1 or separator in '"\r\n'):
            raise DataError(f"separator must be one ASCII character, got {separator!r}")
        for table in self.header:
            if table not in TABLES:
                raise DataError(f"header must name {', '.join(TABLES)}, got {table!r}")
        if self.row_order and self.time_format is not None:
            raise DataError("time_format has no effect with time_unit order; remove one")
        _ = self.times  # Checks the unit and the format.

    @property
    def row_order(self) -> bool:
        """Whether rows are in the order of the events."""
        return self.time_unit == "order"

    @property
    def times(self) -> TimeFormat:
        """Format of the times."""
        if self.time_unit == "order":
            return TimeFormat()
        return TimeFormat(self.time_unit, self.time_format)
