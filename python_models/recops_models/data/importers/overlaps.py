"""Reconstruction of users' sequences from overlapping examples (history, next item)."""

from __future__ import annotations

import json
from pathlib import Path

from recops_models.data.checks import RawTable, with_columns
from recops_models.data.importers.sequences import sequence_rows
from recops_models.data.importers.text_files import read_delimited

_COLUMNS = ("user_id", "history_item_id", "item_id")


class OverlappingExamples:
    """Users' sequences, merged from examples in file order.

    Attributes:
        sequences: user id → item ids, oldest first.
        users_of: file name → ids of the users in it.
    """

    def __init__(self) -> None:
        self.sequences: dict[str, list[str]] = {}
        self.users_of: dict[str, set[str]] = {}
        self._numbers: dict[str, int] = {}
        self._malformed: list[tuple[int, str]] = []
        self._seen: set[tuple[str, str, str]] = set()
        self._count = 0
        self._gaps = 0

    def add(self, file: Path) -> None:
        """Add all examples of one file.

        Raises:
            DataError: the file is missing, unreadable or lacks a column.
        """
        raw = with_columns(read_delimited(file, only_text=True), _COLUMNS)
        users = self.users_of.setdefault(file.name, set())
        self._malformed += [(self._count + row, reason) for row, reason in raw.malformed]
        unsplit = {row for row, _ in raw.malformed}
        rows = [row for row in range(1, len(raw.table) + len(unsplit) + 1) if row not in unsplit]
        examples = zip(*(raw.table[column].to_pylist() for column in _COLUMNS), strict=True)
        for row, example in zip(rows, examples, strict=True):
            user, history, target = example
            items = _items(history)
            fault = _fault(user, items, target)
            if fault is None and example in self._seen:
                fault = "exact repetition of an earlier row"
            if fault is not None:
                self._malformed.append((self._count + row, fault))
                continue
            assert items is not None  # Checked by _fault.
            self._seen.add(example)
            users.add(user)
            self._numbers.setdefault(user, self._count + row)
            self._extend(self.sequences.setdefault(user, []), items, target)
        self._count += len(rows) + len(unsplit)

    def _extend(self, sequence: list[str], history: list[str], target: str) -> None:
        overlap = next((n for n in range(len(history), 0, -1) if sequence[-n:] == history[:n]), 0)
        self._gaps += bool(sequence and not overlap and history)
        sequence += [*history[overlap:], target]

    def rows(self, stem: str) -> RawTable:
        """Return the events of all sequences, as :func:`assemble` expects them."""
        return sequence_rows(
            f"{stem}_*.csv",
            list(self.sequences),
            list(self.sequences.values()),
            list(self._numbers.values()),
            self._malformed,
        )

    def notes(self) -> list[str]:
        """Return a note on the merge, with the number of gaps."""
        return [
            f"{self._count:,} examples of {len(self.sequences):,} users merged into sequences; "
            f"{self._gaps:,} do not overlap the previous one: events between them may be missing"
        ]


def _fault(user: str | None, items: list[str] | None, target: str | None) -> str | None:
    if not user:
        return "user_id is missing"
    if items is None:
        return "history_item_id is not a list of ids"
    return None if target else "item_id is missing"


def _items(text: str | None) -> list[str] | None:
    """Parse ``"[926, 38]"`` as ``["926", "38"]``; return None if it is not a list of integers."""
    try:
        values = json.loads(text or "")
    except ValueError:
        return None
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        return None
    return [str(value) for value in values]
