"""Importer of ASSISTments 2017: pupils' answers to problems, in order.

``interactions`` has ``user_id``, ``item_id`` (a problem), ``skill``, ``position`` (of the event in
its user's history) and ``label`` (1: correct answer).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable, with_columns
from recops_models.data.dataset import Dataset
from recops_models.data.importers.parquet_files import read_parquet
from recops_models.data.importers.sequences import ORDER_NOTE

_EVENTS = ("user_id", "item_id", "skill", "position", "label")


def read_assist2017(folder: Path, *, name: str = "assist2017") -> Dataset:
    """Read ``interactions.parquet`` in ``folder``; an item's ``skill`` is its most frequent one.

    Raises:
        DataError: the file is missing, or lacks a column.
    """
    raw = with_columns(read_parquet(folder / "interactions.parquet"), _EVENTS)
    skills, num_other = _skills(raw.table)
    events = raw.table.drop_columns(["skill"])
    names = ["timestamp" if column == "position" else column for column in events.column_names]
    return assemble(
        name,
        RawTable(raw.file, events.rename_columns(names)),
        RawTable(f"{raw.file}: items", skills),
        source=str(folder),
        ids="integer",
        time="order",
        notes=(
            ORDER_NOTE,
            f"an item's skill is its most frequent one over all events; {num_other:,} events have "
            "another skill",
        ),
    )


def _skills(events: pa.Table) -> tuple[pa.Table, int]:
    """Return each item's most frequent skill, and the number of events with another skill.

    Ties go to the lowest skill.
    """
    counts = (
        events.group_by(["item_id", "skill"], use_threads=False)
        .aggregate([([], "count_all")])
        .sort_by([("item_id", "ascending"), ("count_all", "descending"), ("skill", "ascending")])
    )
    item = counts["item_id"].to_numpy()
    first = np.flatnonzero(np.append(True, item[1:] != item[:-1]))
    table = counts.take(pa.array(first))
    skill = table["skill"].cast(pa.string()).dictionary_encode()
    num_other = events.num_rows - int(table["count_all"].to_numpy().sum())
    return pa.table({"item_id": table["item_id"], "skill": skill}), num_other
