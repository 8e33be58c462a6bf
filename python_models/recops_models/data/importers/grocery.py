"""Importer of Amazon Grocery with its item graph: ``train.csv`` and ``item_meta.csv``.

Both are tab-separated. ``train`` has ``user_id``, ``item_id`` and ``time`` (seconds). ``item_meta``
has ``item_id``, ``i_category`` and lists of item ids such as ``[12, 7]``: ``r_complement`` (also
bought) and ``r_substitute`` (also viewed).
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.importers.text_files import read_delimited


def read_grocery(folder: Path, *, name: str = "grocery") -> Dataset:
    """Read the two files in ``folder``.

    ``items`` has ``category`` and the lists ``also_bought`` and ``also_viewed`` of item ids.

    Raises:
        DataError: a file is missing or lacks a column, or a list cannot be parsed.
    """
    events, meta = (
        read_delimited(folder / file, delimiter="\t", quoting=False, only_text=True)
        for file in ("train.csv", "item_meta.csv")
    )
    names = ["timestamp" if name == "time" else name for name in events.table.column_names]
    return assemble(
        name,
        RawTable(events.file, events.table.rename_columns(names), events.malformed),
        RawTable(meta.file, _described(meta), meta.malformed),
        source=str(folder),
        ids="integer",
        notes=(
            "also_bought and also_viewed cover all times: content vectors built from them leak "
            "later purchases",
        ),
    )


def _described(meta: RawTable) -> pa.Table:
    try:
        return pa.table(
            {
                "item_id": meta.table["item_id"],
                "category": meta.table["i_category"].dictionary_encode(),
                "also_bought": _lists(meta.table["r_complement"]),
                "also_viewed": _lists(meta.table["r_substitute"]),
            }
        )
    except (KeyError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{meta.file}: must have item_id, i_category, r_complement and r_substitute, the last "
            f"two with lists such as [12, 7] ({error})"
        ) from error


def _lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    inner = pc.utf8_trim(column, characters="[] ")
    words = pc.split_pattern_regex(inner, r"\s*,\s*")
    empty = pa.scalar([], pa.list_(pa.string()))
    return pc.if_else(pc.equal(inner, ""), empty, words).cast(pa.list_(pa.int64()))
