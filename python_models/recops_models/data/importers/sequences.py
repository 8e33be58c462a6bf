"""Conversion of sequences, one list of items per user, to rows of interactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from recops_models.data.checks import RawTable

ORDER_NOTE = "the source has no times: timestamps are positions within each user's history"


def sequence_rows(
    file: str,
    users: Sequence[str],
    sequences: Sequence[Sequence[Any]],
    numbers: Sequence[int],
    malformed: Sequence[tuple[int, str]] = (),
) -> RawTable:
    """Return one row per event; its timestamp is its position in the sequence.

    Items become text; None is a missing id.

    Args:
        file: name of the file, for the report.
        users: user id of each sequence.
        sequences: items, oldest first.
        numbers: row of ``file`` of each sequence.
        malformed: number and reason for each row of ``file`` without a sequence.
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
