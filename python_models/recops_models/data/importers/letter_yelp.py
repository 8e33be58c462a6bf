"""Yelp with LETTER's semantic IDs: S3Rec's sequences, and LETTER's items counted from 0.

``amazon_s3rec/Yelp.txt`` holds the sequences, ``letter/yelp.item.json`` an object from item id to
its ``title`` and ``description`` (categories with commas between), ``letter/yelp.index.json`` one
to its semantic ID. LETTER's ids are S3Rec's less one, and so are those of the data set.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.columns import parse_integer_ids
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.importers.json_files import read_object
from recops_models.data.importers.s3rec import read_sequences
from recops_models.data.importers.sequences import ORDER_NOTE
from recops_models.data.importers.sids import read_sids

_ITEMS = "an object from item id to one with a title and a description"


def read_letter_yelp(folder: Path, *, name: str = "letter-yelp") -> Dataset:
    """Read the three files below ``folder``; ``items`` has ``title``, ``categories`` and ``sid``.

    Raises:
        DataError: a file is missing, or is not what is described above.
    """
    sequences = read_sequences(folder / "amazon_s3rec/Yelp.txt")
    shifted = sequences.table
    for place, column in enumerate(("user_id", "item_id")):
        shifted = shifted.set_column(place, column, _less_one(shifted[column], sequences.file))
    sids = read_sids(folder / "letter/yelp.index.json")
    described = _described(folder / "letter/yelp.item.json", sids.table["item_id"])
    items = described.append_column("sid", sids.table["sid"])
    return assemble(
        name,
        RawTable(sequences.file, shifted, sequences.malformed, sequences.numbers),
        RawTable(sids.file, items, sids.malformed),
        source=str(folder),
        ids="integer",
        time="order",
        notes=(ORDER_NOTE, "ids are LETTER's: those of Yelp.txt less one"),
    )


def _less_one(ids: pa.ChunkedArray, file: str) -> pa.ChunkedArray:
    values, faults = parse_integer_ids(ids, "id")
    if any(rows.any() for _, rows in faults):
        raise DataError(f"{file}: integers of 1 and more are due for ids")
    return pa.chunked_array([values - 1])


def _described(file: Path, ids: pa.ChunkedArray) -> pa.Table:
    """The items ``ids``, in this order, with null where the file does not know one."""
    found = dict(read_object(file, _ITEMS))
    rows = [found.get(item) or {} for item in ids.to_pylist()]
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{file}: {_ITEMS} is due")
    categories = pa.array([row.get("description") for row in rows], pa.string())
    return pa.table(
        {
            "item_id": ids,
            "title": pa.array([row.get("title") for row in rows], pa.string()),
            "categories": pc.split_pattern_regex(categories, r"\s*,\s*"),
        }
    )
