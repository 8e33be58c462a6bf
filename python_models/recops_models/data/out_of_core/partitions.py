"""Repeated rows and distinct (user, item) pairs of events on disk, by hash partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recops_models.data.checks import repeats
from recops_models.data.columns import BoolArray
from recops_models.data.histories import AnyArray
from recops_models.data.vocabulary import distinct

_ROWS = 1 << 21
_MOST = 256
_ROW = "row"
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Knuth, TAOCP 3, §6.4.


class Repetition(NamedTuple):
    """Repetition within the events of one partition."""

    rows: NDArray[np.int64]
    """Numbers of the rows that equal an earlier row in every column."""
    pairs: int
    """Number of distinct (user, item) pairs."""


class Partitions:
    """Events on disk, partitioned by a hash of user and item.

    Rows that are equal, or have the same user and item, are in the same partition. Memory holds one
    partition, about two million rows.

    Args:
        folder: existing folder for the files.
        rows: estimate of the number of rows.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        count = min(max(1, -(-rows // _ROWS)), _MOST)
        self._paths = [folder / f"partition{index}" for index in range(count)]
        self._files = [path.open("wb") for path in self._paths]
        self._kind: np.dtype[np.void] | None = None

    def add(self, columns: Mapping[str, AnyArray], rows: NDArray[np.int64]) -> None:
        """Add events with these columns, ``[n]`` each, and their row numbers ``[n]``."""
        named = {**columns, _ROW: rows}
        if self._kind is None:
            self._kind = np.dtype([(name, values.dtype) for name, values in named.items()])
        records = np.empty(len(rows), dtype=self._kind)
        for name, values in named.items():
            records[name] = values
        user, item = (columns[name].astype(np.uint64) for name in ("user_id", "item_id"))
        mixed = ((user * _MULTIPLIER) ^ item) * _MULTIPLIER >> np.uint64(32)
        part = (mixed % np.uint64(len(self._files))).astype(np.int64)
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange(len(self._files) + 1))
        records = records[order]
        for index, file in enumerate(self._files):
            records[bounds[index] : bounds[index + 1]].tofile(file)

    def repetitions(self, *, whole_rows: bool) -> Iterator[Repetition]:
        """Yield the repetition in each partition, and delete its file.

        Args:
            whole_rows: whether to look for repeated rows.
        """
        for file in self._files:
            file.close()
        for path in self._paths:
            if self._kind is not None:
                records = np.fromfile(path, dtype=self._kind)
                names = [name for name in records.dtype.names or () if name != _ROW]
                marks = np.zeros(len(records), dtype=bool)
                if whole_rows:
                    columns = [np.ascontiguousarray(records[name]) for name in names]
                    marks = _repeated_rows(columns)
                pairs = _distinct_pairs(records["user_id"], records["item_id"])
                yield Repetition(records[_ROW][marks], pairs)
            path.unlink()


def _repeated_rows(columns: Sequence[AnyArray]) -> BoolArray:
    """Mark the rows that equal an earlier row in every column.

    Only rows that share a hash are compared.
    """
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    for values in columns:
        bits = (values + 0).astype(np.float64) if values.dtype.kind == "f" else values
        mixed = (mixed ^ bits.view(np.uint64)) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
    order = np.argsort(mixed, kind="stable")
    is_same = mixed[order[1:]] == mixed[order[:-1]]
    shares = np.zeros(len(mixed), dtype=bool)
    shares[order[1:][is_same]] = shares[order[:-1][is_same]] = True
    return repeats(columns, np.flatnonzero(shares))


def _distinct_pairs(user: NDArray[np.int64], item: NDArray[np.int64]) -> int:
    if not len(user):
        return 0
    width = int(item.max()) + 1
    if (int(user.max()) + 1) * width < 2**63:
        return len(distinct(user * width + item))
    order = np.lexsort((item, user))
    user, item = user[order], item[order]
    return 1 + int(((user[1:] != user[:-1]) | (item[1:] != item[:-1])).sum())
