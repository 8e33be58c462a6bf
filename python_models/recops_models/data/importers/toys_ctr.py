"""Importer of Amazon Toys with labels: ``toys_train.csv`` and ``toys_test.csv``, merged.

Both have ``user_id``, ``item_id``, ``class`` (the item's category), ``reviewTime`` (a day) and
``overall`` (1 for a rating of at least 4). The files are a random split, so evaluation should split
the merged data by time.
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
    """Read the two files in ``folder``; an item's category is that of its first row.

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
        first = interactions.group_by("item_id", use_threads=False).aggregate(
            [("category", "first")]
        )
        table = pa.table(
            {
                "item_id": first["item_id"],
                "category": first["category_first"].dictionary_encode(),
            }
        )
        items = RawTable("toys_*.csv: items", table)
        interactions = interactions.drop_columns(["category"])
    return assemble(
        name,
        RawTable("toys_*.csv", interactions, malformed),
        items,
        source=str(folder),
        ids="integer",
        notes=(
            "train and test, a random split, are merged: split by time",
            "times are days: a user's events of one day are in the order of the files",
        ),
    )
