"""Semantic IDs of a catalogue, and their Parquet file.

The columns are ``item_id``, ``c0``, ``c1``, …, and ``item_key`` if the source has text ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.checks import RawTable, with_columns
from recops_models.data.columns import id_text, parse_integer_ids
from recops_models.data.errors import DataError
from recops_models.data.importers.parquet_files import read_parquet
from recops_models.data.storage import is_sealed, read_table, write_table

_LEVEL = re.compile(r"c(0|[1-9][0-9]{0,3})")


@dataclass(frozen=True, eq=False)
class Sids:
    """One semantic ID per item; several items may share one.

    Attributes:
        item_ids: ``[N]`` i64.
        codes: ``[N, L]`` i32.
        keys: ``[N]``, ids as in the source; None: ``item_ids``.
    """

    item_ids: NDArray[np.int64]
    codes: NDArray[np.int32]
    keys: list[str] | list[int] | None = None

    def __len__(self) -> int:
        return len(self.item_ids)


def save_sids(path: Path, sids: Sids) -> None:
    """Write ``sids`` atomically."""
    levels = {f"c{level}": sids.codes[:, level] for level in range(sids.codes.shape[1])}
    keys = pa.array(sids.keys or [])
    named = {"item_key": keys} if pa.types.is_string(keys.type) else {}
    write_table(path, pa.table({"item_id": sids.item_ids, **levels, **named}))


def load_sids(path: Path) -> Sids:
    """Load SIDs that :func:`save_sids` wrote.

    Raises:
        CorruptFileError: the file is damaged or of another kind.
        FileNotFoundError: the file does not exist.
    """
    table = read_table(path)
    others = ("item_id", "item_key")
    levels = [table[name].to_numpy() for name in table.column_names if name not in others]
    keys = table["item_key"].to_pylist() if "item_key" in table.column_names else None
    return Sids(table["item_id"].to_numpy().copy(), np.stack(levels, axis=1), keys)


def read_sids(path: Path) -> Sids:
    """Read semantic IDs that :func:`save_sids` or another program, such as pandas, wrote.

    Another program's Parquet file has a column ``item_id`` (integers, or text, which is numbered in
    alphabetical order) and integer columns ``c0``, ``c1``, …; other columns are ignored.

    Raises:
        CorruptFileError: the file is damaged.
        DataError: not a Parquet file, wrong columns, or missing, repeated or negative values.
        FileNotFoundError: the file does not exist.
    """
    if is_sealed(path):
        return load_sids(path)
    table = read_parquet(path).table
    levels = sorted(
        (name for name in table.column_names if _LEVEL.fullmatch(name)), key=lambda n: int(n[1:])
    )
    kinds = {field.name: field.type for field in table.schema}
    if "item_id" not in kinds or not levels or levels != [f"c{i}" for i in range(len(levels))]:
        columns = ", ".join(kinds)
        raise DataError(f"{path}: columns must be item_id, c0, c1, …, got {columns or 'none'}")
    for name in levels:
        values = table[name]
        if not pa.types.is_integer(kinds[name]) or values.null_count:
            raise DataError(f"{path}: column {name} must hold integers without nulls")
        if len(values) and not 0 <= pc.min(values).as_py() <= pc.max(values).as_py() < 1 << 31:
            raise DataError(f"{path}: column {name} must hold codes from 0 to 2^31 - 1")
    if not table.num_rows:
        raise DataError(f"{path}: must hold at least one item, got none")
    codes = np.stack([table[name].to_numpy().astype(np.int32) for name in levels], axis=1)
    text = id_text(with_columns(RawTable(path.name, table), ("item_id",)).table["item_id"])
    if pc.any(pc.equal(text, "")).as_py() or pc.count_distinct(text).as_py() < len(text):
        raise DataError(f"{path}: column item_id must name each item once")
    ids, faults = parse_integer_ids(text, "item_id")
    if not any(bad.any() for _, bad in faults):
        return Sids(ids, codes)
    keys = text.combine_chunks()
    ids = np.empty(len(keys), dtype=np.int64)
    ids[pc.array_sort_indices(keys).to_numpy()] = np.arange(len(keys))
    return Sids(ids, codes, keys.to_pylist())
