"""Ids that a trained model knows, ``known_items.parquet`` and ``known_users.parquet``.

A data set numbers its items and users in the order of their ids, so one new id shifts all later
ones. Training therefore stores the ids themselves, and later uses match them by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from recops_models.data.columns import row_of
from recops_models.data.dataset import Dataset, Entity, entity_keys
from recops_models.data.histories import Int64Array
from recops_models.data.storage import read_table, write_table

KNOWN_ITEMS, KNOWN_USERS = "known_items.parquet", "known_users.parquet"

_FILES: dict[Entity, str] = {"item": KNOWN_ITEMS, "user": KNOWN_USERS}


@dataclass(frozen=True, eq=False)
class KnownIds:
    """Ids of items and users in the order of a model's rows.

    Attributes:
        items: columns ``key`` ``[N]``, ids of the source, and ``id`` i64, their numbers in the
            data set of the training.
        users: the same of users; None if they were not stored, as in an upload without users.
    """

    items: pa.Table
    users: pa.Table | None

    @classmethod
    def of(cls, dataset: Dataset, earlier: KnownIds | None = None) -> KnownIds:
        """Return the ids of a data set.

        Args:
            dataset: the data set.
            earlier: ids that an earlier training knew. Those that the data set lacks come last.
        """
        items, users = _ids(dataset, "item"), _ids(dataset, "user")
        if earlier is not None:
            items = _with_absent(items, earlier.items)
            users = users if earlier.users is None else _with_absent(users, earlier.users)
        return cls(items, users)

    def rows(self, dataset: Dataset, entity: Entity) -> Int64Array:
        """Return the row of each item or user of ``dataset`` in these ids; −1: unknown."""
        known, keys = self._of_entity(entity), entity_keys(dataset, entity)
        if known is None:
            return np.full(len(keys), -1, dtype=np.int64)
        return row_of(known["key"], keys)

    def save(self, folder: Path) -> None:
        """Write the files into a training's folder."""
        for entity, name in _FILES.items():
            known = self._of_entity(entity)
            if known is not None:
                write_table(folder / name, known)

    @classmethod
    def load(cls, folder: Path) -> KnownIds | None:
        """Return the ids in a training's folder; None if it was trained on examples.

        Raises:
            CorruptFileError: a file is damaged.
        """
        items, users = folder / KNOWN_ITEMS, folder / KNOWN_USERS
        if not items.exists():
            return None
        return cls(read_table(items), read_table(users) if users.exists() else None)

    def _of_entity(self, entity: Entity) -> pa.Table | None:
        return self.items if entity == "item" else self.users


def _ids(dataset: Dataset, entity: Entity) -> pa.Table:
    table = dataset.items if entity == "item" else dataset.users
    return pa.table({"key": entity_keys(dataset, entity), "id": table[f"{entity}_id"]})


def _with_absent(ids: pa.Table, earlier: pa.Table) -> pa.Table:
    """Append the earlier ids that ``ids`` lack."""
    absent = pa.array(row_of(ids["key"], earlier["key"]) < 0)
    return pa.concat_tables([ids, earlier.filter(absent).cast(ids.schema)])
