"""Whom a batch of requests is about: the users that a file names, or all who met something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops.files import read_bounded
from recops_models.data.checks import with_columns
from recops_models.data.columns import BoolArray, id_text
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array
from recops_models.data.importers.parquet_files import read_parquet
from recops_models.data.importers.text_files import read_delimited
from recops_models.data.vocabulary import distinct
from recops_models.examples.click_schema import entity_keys

ALL = "all"
_KEY = "user_id"


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
    met = distinct(dataset.user_vocabulary.index(dataset.interactions[_KEY].to_numpy()))
    if named == ALL:
        return met
    path = Path(named)
    told = _of_table(path) if path.suffix in (".csv", ".parquet") else _of_lines(path)
    if not len(told.keys):
        raise DataError(f"{path}: names no user")
    known = entity_keys(dataset, "user").cast(pa.string())
    places = pc.index_in(told.keys, value_set=known.combine_chunks())
    users: Int64Array = pc.fill_null(places, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    told.refuse(users < 0, f"is not among the {len(known):,} of {dataset.name}, such as {known[0]}")
    told.refuse(~np.isin(users, met), "has met nothing yet: there is nothing to go by")
    _, first = np.unique(users, return_index=True)
    return users[np.sort(first)]


@dataclass(frozen=True, eq=False)
class _Named:
    """What a file says.

    Attributes:
        path: of the file.
        keys: users' ids, as text.
        unit: what of the file is counted, from 1: lines, or rows.
        numbers: in which of these each id stands.
    """

    path: Path
    keys: pa.Array
    unit: str
    numbers: Sequence[int]

    def refuse(self, bad: BoolArray, why: str) -> None:
        """Raise on the first id that is bad."""
        if bad.any():
            row = int(bad.argmax())
            place = f"{self.path}, {self.unit} {self.numbers[row]}"
            raise DataError(f"{place}: user {self.keys[row].as_py()!r} {why}")


def _of_lines(path: Path) -> _Named:
    try:
        lines = read_bounded(path).decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as text ({error})") from error
    named = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    return _Named(path, pa.array(named.values(), pa.string()), "line", list(named))


def _of_table(path: Path) -> _Named:
    raw = read_parquet(path) if path.suffix == ".parquet" else read_delimited(path, text=(_KEY,))
    if raw.malformed:
        row, reason = raw.malformed[0]
        raise DataError(f"{path}, row {row}: cannot be read: {reason}")
    keys = id_text(with_columns(raw, (_KEY,)).table[_KEY]).combine_chunks()
    told = _Named(path, keys, "row", range(1, len(keys) + 1))
    told.refuse(pc.equal(keys, "").to_numpy(zero_copy_only=False), "must have an id")
    return told
