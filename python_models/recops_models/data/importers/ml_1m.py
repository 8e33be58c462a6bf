"""Importer of MovieLens 1M as Parquet files, with rating classes instead of stars.

``interactions`` has ``user_id``, ``item_id`` and

- ``position``: of the event in its user's history;
- ``timestamp``: accurate to about 15 minutes, and the event's own if ``time_known``;
- ``rating_class``: 2 for 4 or 5 stars, 1 for 3, 0 for 1 or 2, null for an unknown rating of at most
  3 stars.

``items`` has ``title`` and space-separated ``genres``; ``users`` has ``gender``, ``age`` and
``occupation``.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable, with_columns
from recops_models.data.dataset import Dataset
from recops_models.data.importers.films import films, people
from recops_models.data.importers.parquet_files import read_parquet

_EVENTS = ("user_id", "item_id", "timestamp", "time_known", "position", "rating_class")
_USERS = ("user_id", "gender", "age", "occupation")


def read_ml_1m(folder: Path, *, name: str = "ml-1m") -> Dataset:
    """Read the three files in ``folder``; ``interactions`` gets ``feedback``.

    Events of one user are in the order of ``position``, which also orders equal times.

    Raises:
        DataError: a file is missing, or lacks a column.
    """
    events = with_columns(read_parquet(folder / "interactions.parquet"), _EVENTS)
    items = with_columns(read_parquet(folder / "items.parquet"), ("item_id", "title", "genres"))
    users = with_columns(read_parquet(folder / "users.parquet"), _USERS)
    table = events.table.sort_by([("user_id", "ascending"), ("position", "ascending")])
    num_unclear = table["rating_class"].null_count
    num_guessed = table.num_rows - (pc.sum(table["time_known"]).as_py() or 0)
    feedback = pc.fill_null(table["rating_class"], 1)
    table = table.select(["user_id", "item_id", "timestamp"]).append_column("feedback", feedback)
    return assemble(
        name,
        RawTable(events.file, table),
        RawTable(items.file, films(items.table, " ")),
        RawTable(users.file, people(users.table)),
        source=str(folder),
        ids="integer",
        notes=(
            "feedback: liked 4 or 5 stars, neutral 3, disliked 1 or 2; "
            f"{num_unclear:,} unknown ratings of at most 3 stars count as neutral",
            f"{num_guessed:,} times are carried forward or guessed; each user's order is exact",
        ),
    )
