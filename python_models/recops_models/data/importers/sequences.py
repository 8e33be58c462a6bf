"""Sequences, a list of items a user, as rows of interactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from recops_models.data.checks import RawTable

ORDER_NOTE = "no times in the source: timestamps are positions within each user's history"


def sequence_rows(
    file: str,
    users: Sequence[str],
    sequences: Sequence[Sequence[Any]],
    numbers: Sequence[int],
    malformed: Sequence[tuple[int, str]] = (),
) -> RawTable:
    """One row an event, its place in its sequence for a time; items as text, None where missing.

    Args:
        file: its name, for the report.
        users: whose they are.
        sequences: items, oldest first.
        numbers: the row of ``file`` that each sequence comes from.
        malformed: rows of ``file`` that hold no sequence, and why.
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    items = [None if item is None else str(item) for sequence in sequences for item in sequence]
    ends = np.cumsum(lengths)
    owner = np.repeat(np.arange(len(users)), lengths)
    table = pa.table(
        {
            "user_id": pa.array(users, pa.string()).take(pa.array(owner)),
            "item_id": pa.array(items, pa.string()),
            "timestamp": np.arange(len(items)) - np.repeat(ends - lengths, lengths),
        }
    )
    return RawTable(file, table, malformed, np.asarray(numbers, dtype=np.int64)[owner])
