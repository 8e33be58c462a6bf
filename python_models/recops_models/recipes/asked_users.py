"""Whom a batch of requests is about: the users that a file names, or all who met something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.dataset import Dataset
from recops_models.data.histories import Int64Array
from recops_models.data.id_file import IdFile
from recops_models.data.vocabulary import distinct
from recops_models.examples.click_schema import entity_keys

ALL = "all"


def asked_users(named: str, dataset: Dataset) -> Int64Array:
    """Indices of users, each once, in the order in which they are first named.

    Args:
        named: :data:`ALL`: every user who has met something; or a file: ``.parquet``, or ``.csv``
            with a header line, of which ``user_id`` is a column; any other has an id a line.
        dataset: whose users they are, by their ids in its source.

    Raises:
        DataError: the file cannot be read, or names nobody; the data set does not have a user, or
            this user has met nothing. The text names the file, and the line or row.
    """
    met = distinct(dataset.user_vocabulary.index(dataset.interactions["user_id"].to_numpy()))
    if named == ALL:
        return met
    file = IdFile.read(Path(named), "user")
    known = entity_keys(dataset, "user").cast(pa.string())
    places = pc.index_in(file.keys, value_set=known.combine_chunks())
    users: Int64Array = pc.fill_null(places, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    file.refuse(users < 0, f"is not among the {len(known):,} of {dataset.name}, such as {known[0]}")
    file.refuse(~np.isin(users, met), "has met nothing yet: there is nothing to go by")
    _, first = np.unique(users, return_index=True)
    return users[np.sort(first)]
