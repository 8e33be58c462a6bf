"""Importer of Yelp: S3Rec's sequences with LETTER's item texts and semantic IDs.

``amazon_s3rec/Yelp.txt`` holds the sequences. ``letter/yelp.item.json`` maps item ids to ``title``
and ``description`` (comma-separated categories), ``letter/yelp.index.json`` to semantic IDs. The
data set uses LETTER's ids, which count from 0 and are S3Rec's ids minus one.
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
    """Read the three files under ``folder``; ``items`` has ``title``, ``categories`` and ``sid``.

    Raises:
        DataError: a file is missing or does not have the format described above.
    """
    sequences = read_sequences(folder / "amazon_s3rec/Yelp.txt")
    shifted = sequences.table
    for index, column in enumerate(("user_id", "item_id")):
        shifted = shifted.set_column(index, column, _minus_one(shifted[column], sequences.file))
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
        notes=(ORDER_NOTE, "ids are LETTER's: those of Yelp.txt minus one"),
    )


def _minus_one(ids: pa.ChunkedArray, file: str) -> pa.ChunkedArray:
    values, faults = parse_integer_ids(ids, "id")
    if any(rows.any() for _, rows in faults):
        raise DataError(f"{file}: ids must be integers of at least 1")
    return pa.chunked_array([values - 1])


def _described(file: Path, ids: pa.ChunkedArray) -> pa.Table:
    """Return title and categories of the items ``ids``, in this order; null if missing."""
    texts = dict(read_object(file, _ITEMS))
    rows = [texts.get(item) or {} for item in ids.to_pylist()]
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{file}: must be {_ITEMS}")
    categories = pa.array([row.get("description") for row in rows], pa.string())
    return pa.table(
        {
            "item_id": ids,
            "title": pa.array([row.get("title") for row in rows], pa.string()),
            "categories": pc.split_pattern_regex(categories, r"\s*,\s*"),
        }
    )
