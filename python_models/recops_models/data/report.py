"""Report of an import: rows read, rows dropped and the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from recops_models.settings import JsonObject


@dataclass(frozen=True)
class BadRows:
    """Rows of one file that were dropped for one reason."""

    file: str
    reason: str
    count: int
    example: str

    def __str__(self) -> str:
        return f"{self.file}: {self.count:,} × {self.reason} (e.g. {self.example})"


@dataclass(frozen=True)
class ImportReport:
    """Record of how a data set was imported.

    Attributes:
        source: file, folder or package of the data.
        rows_read: data rows per file, bad ones included.
        bad_rows: dropped rows; each counts once, under the first reason.
        notes: remarks for readers of the metrics, such as unused columns.
    """

    source: str
    rows_read: Mapping[str, int] = field(default_factory=dict)
    bad_rows: tuple[BadRows, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def num_bad(self) -> int:
        """Number of dropped rows over all files."""
        return sum(bad.count for bad in self.bad_rows)

    def to_dict(self) -> dict[str, object]:
        """Return the report as JSON values, the inverse of :meth:`from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: JsonObject) -> ImportReport:
        """Return the report that :meth:`to_dict` converted to ``values``."""
        return cls(
            source=values["source"],
            rows_read=values["rows_read"],
            bad_rows=tuple(BadRows(**bad) for bad in values["bad_rows"]),
            notes=tuple(values["notes"]),
        )
