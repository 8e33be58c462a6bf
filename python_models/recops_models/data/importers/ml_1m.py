"""MovieLens 1M as a folder of Parquet files: the order of all events, classes instead of stars.

``interactions`` has ``user_id``, ``item_id``, ``position`` (an event's place in its user's
history), ``timestamp`` (to about 15 minutes; ``time_known`` tells where it is the event's own) and
``rating_class``: 2 for 4 or 5 stars, 1 for 3, 0 for 1 or 2, null where no more is known than that
they were 3 or fewer. ``items`` has ``title`` and ``genres`` with spaces between, ``users``
``gender``, ``age`` and ``occupation``.
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
    """Read the three files in ``folder``; ``interactions`` has ``feedback``.

    Times never contradict ``position`` within a user, which orders events of one moment.

    Raises:
        DataError: a file is missing, or lacks a column.
    """
    events = with_columns(read_parquet(folder / "interactions.parquet"), _EVENTS)
    items = with_columns(read_parquet(folder / "items.parquet"), ("item_id", "title", "genres"))
    users = with_columns(read_parquet(folder / "users.parquet"), _USERS)
    table = events.table.sort_by([("user_id", "ascending"), ("position", "ascending")])
    unclear = table["rating_class"].null_count
    guessed = table.num_rows - (pc.sum(table["time_known"]).as_py() or 0)
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
            f"{unclear:,} of 3 or fewer count as neutral",
            f"{guessed:,} times are carried forward or guessed; the order within a user is true",
        ),
    )
