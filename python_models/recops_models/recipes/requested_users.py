"""Users to recommend to: those in a file, or all users with events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.dataset import Dataset, entity_keys
from recops_models.data.histories import Int64Array
from recops_models.data.id_file import IdFile
from recops_models.data.vocabulary import distinct

ALL = "all"


def requested_users(named: str, dataset: Dataset, *, need_events: bool = True) -> Int64Array:
    """Return the indices of distinct users, in the order of their first mention.

    Args:
        named: :data:`ALL` for all users with events, or a file. ``.parquet`` files, and ``.csv``
            files with a header, have a column ``user_id``; other files have one id per line.
        dataset: the data set; the file has the ids of its source.
        need_events: whether a user in the file must have events.

    Raises:
        DataError: the file cannot be read or names no user, or a user is unknown or lacks needed
            events. The message names the file and the line or row.
    """
    active = distinct(dataset.user_vocabulary.index(dataset.interactions["user_id"].to_numpy()))
    if named == ALL:
        return active
    file = IdFile.read(Path(named), "user", dataset.columns)
    known = entity_keys(dataset, "user").cast(pa.string())
    rows = pc.index_in(file.keys, value_set=known.combine_chunks())
    users: Int64Array = pc.fill_null(rows, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    file.refuse(
        users < 0, f"is not among the {len(known):,} users of {dataset.name}, such as {known[0]}"
    )
    is_refused = need_events & ~np.isin(users, active)
    file.refuse(is_refused, "has no events, so nothing can be recommended")
    _, first = np.unique(users, return_index=True)
    return users[np.sort(first)]
