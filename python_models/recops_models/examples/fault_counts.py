"""Counts of the bad rows of a file that is read in pieces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from recops_models.data.columns import BoolArray
from recops_models.data.report import BadRows

Fault: TypeAlias = tuple[str, str, BoolArray]
"""Column, reason, and the mask of the affected rows."""


@dataclass
class FaultCounts:
    """Bad rows of one file by reason; a row counts once, under its first fault.

    Attributes:
        file: name of the file.
    """

    file: str
    _rows: int = 0
    _counts: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def bad_rows(self) -> tuple[BadRows, ...]:
        """The bad rows so far, by reason."""
        return tuple(
            BadRows(self.file, reason, count, example)
            for reason, (count, example) in self._counts.items()
        )

    def valid(self, piece: pa.RecordBatch, faults: Iterable[Fault]) -> BoolArray:
        """Return the mask of the valid rows of the file's next piece, and count the others."""
        good = np.ones(piece.num_rows, dtype=bool)
        for column, reason, bad in faults:
            newly_bad = bad & good
            if not newly_bad.any():
                continue
            good &= ~bad
            row = int(newly_bad.argmax())
            shown = f"row {self._rows + row + 1}: {_short(piece[column][row].as_py())}"
            key = f"{column} {reason}"
            count, example = self._counts.get(key, (0, shown))
            self._counts[key] = (count + int(newly_bad.sum()), example)
        self._rows += piece.num_rows
        return good


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
