"""What an import read, what it left out, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from recops_models.settings import JsonObject


@dataclass(frozen=True)
class BadRows:
    """The rows of one file that were left out for one reason."""

    file: str
    reason: str
    count: int
    example: str

    def __str__(self) -> str:
        return f"{self.file}: {self.count:,} × {self.reason} (e.g. {self.example})"


@dataclass(frozen=True)
class ImportReport:
    """How a data set came to be.

    Attributes:
        source: the file, folder or package it was read from.
        rows_read: data rows per file, bad ones included.
        bad_rows: what was left out; every bad row counts once, under the first reason found.
        notes: what a reader of the numbers should know, such as columns that were not used.
    """

    source: str
    rows_read: Mapping[str, int] = field(default_factory=dict)
    bad_rows: tuple[BadRows, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def num_bad(self) -> int:
        """Rows left out, over all files."""
        return sum(bad.count for bad in self.bad_rows)

    def to_dict(self) -> dict[str, object]:
        """The report as JSON-ready values; :meth:`from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: JsonObject) -> ImportReport:
        """The report that :meth:`to_dict` wrote."""
        return cls(
            source=values["source"],
            rows_read=values["rows_read"],
            bad_rows=tuple(BadRows(**bad) for bad in values["bad_rows"]),
            notes=tuple(values["notes"]),
        )
