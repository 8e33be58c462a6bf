"""The text form of S3Rec: one line a user, ``user item item …``, in time order.

``NAME.txt`` goes with an optional ``NAME_item2attributes.json``, an object from item id to a list
of attribute ids. There are no times: an event's timestamp is its position in its user's line, and
the data set says ``time="order"``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.assemble import IdKind, assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError


def read_s3rec(path: Path, *, name: str | None = None, ids: IdKind = "auto") -> Dataset:
    """Read the sequences in file ``path`` and the attributes beside it, if they are there.

    Raises:
        DataError: the file is not there, not text, or empty; the attributes are not the JSON
            described above.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; S3Rec's form is NAME.txt with one user a line")
    interactions = _read_sequences(path)
    attributes = path.with_name(f"{path.stem}_item2attributes.json")
    items = _read_attributes(attributes) if attributes.exists() else None
    return assemble(
        name or path.stem,
        interactions,
        items,
        source=str(path),
        ids=ids,
        time="order",
        notes=("no times in the source: timestamps are positions within each user's history",),
    )


def _read_sequences(path: Path) -> RawTable:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error})") from error
    lines = pa.array([line.strip() for line in text.splitlines() if line.strip()], pa.string())
    words = pc.utf8_split_whitespace(lines)
    lengths = pc.list_value_length(words).to_numpy()
    flat = words.flatten()
    if not len(flat):
        raise DataError(f"{path}: holds no sequence")
    starts = np.cumsum(lengths) - lengths
    users = flat.take(pa.array(np.repeat(starts, lengths - 1)))
    first = np.zeros(len(flat), dtype=bool)
    first[starts] = True
    positions = np.arange(len(flat)) - np.repeat(starts, lengths) - 1
    return RawTable(
        path.name,
        pa.table(
            {
                "user_id": users,
                "item_id": flat.filter(pa.array(~first)),
                "timestamp": positions[~first],
            }
        ),
        [(row + 1, "a user without items") for row in np.flatnonzero(lengths == 1)],
    )


def _read_attributes(path: Path) -> RawTable:
    try:
        mapping = json.loads(path.read_bytes())
        # A list may repeat an attribute; to an item it is one.
        lists = [list(dict.fromkeys(values)) for values in mapping.values()]
        table = pa.table(
            {
                "item_id": pa.array(mapping, pa.string()),
                "attributes": pa.array(lists, pa.list_(pa.int64())),
            }
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: a JSON object from item id to a list of integers is due ({error})"
        ) from error
    return RawTable(path.name, table)
