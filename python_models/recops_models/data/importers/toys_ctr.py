"""Amazon Toys with labels: ``toys_train.csv`` and ``toys_test.csv``, a random split, merged.

Both have ``user_id``, ``item_id``, ``class`` (the item's category), ``reviewTime`` (a day) and
``overall`` (1 for a rating of 4 or more). Whoever splits them by time splits them anew.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.importers.text_files import read_delimited

_NAMES = {
    "user_id": "user_id",
    "item_id": "item_id",
    "class": "category",
    "reviewTime": "timestamp",
    "overall": "label",
}


def read_toys_ctr(folder: Path, *, name: str = "toys-ctr") -> Dataset:
    """Read the two files in ``folder``; an item's category is the first one that it is met with.

    Raises:
        DataError: a file is missing, or lacks a column.
    """
    parts = [
        read_delimited(folder / file, only_text=True)
        for file in ("toys_train.csv", "toys_test.csv")
    ]
    train, test = (raw.table for raw in parts)
    rows = pa.concat_tables([train, test], promote_options="default")
    interactions = rows.rename_columns([_NAMES.get(name, name) for name in rows.column_names])
    malformed = [
        *parts[0].malformed,
        *((train.num_rows + len(parts[0].malformed) + row, why) for row, why in parts[1].malformed),
    ]
    items = None
    if {"item_id", "category"} <= set(interactions.column_names):
        found = interactions.group_by("item_id", use_threads=False).aggregate(
            [("category", "first")]
        )
        table = {"item_id": found["item_id"], "category": found["category_first"]}
        table["category"] = table["category"].dictionary_encode()
        items = RawTable("toys_*.csv: items", pa.table(table))
        interactions = interactions.drop_columns(["category"])
    return assemble(
        name,
        RawTable("toys_*.csv", interactions, malformed),
        items,
        source=str(folder),
        ids="integer",
        notes=(
            "train and test, a random split, are merged: split by time",
            "times are days: the order of a user's events within a day is the files'",
        ),
    )
