"""The semantic IDs of a catalogue, in a sealed Parquet file: ``item_id``, ``c0``, ``c1``, …, and,
where the source names items by strings, ``item_key``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.storage import read_table, write_table


@dataclass(frozen=True, eq=False)
class Sids:
    """One semantic ID an item; several items may share one.

    Attributes:
        item_ids: ``[N]`` i64.
        codes: ``[N, L]`` i32.
        keys: ``[N]``, the items' ids as the source has them; None: ``item_ids``.
    """

    item_ids: NDArray[np.int64]
    codes: NDArray[np.int32]
    keys: list[str] | list[int] | None = None

    def __len__(self) -> int:
        return len(self.item_ids)


def save_sids(path: Path, sids: Sids) -> None:
    """Write ``sids`` whole or not at all."""
    levels = {f"c{level}": sids.codes[:, level] for level in range(sids.codes.shape[1])}
    keys = pa.array(sids.keys or [])
    named = {"item_key": keys} if pa.types.is_string(keys.type) else {}
    write_table(path, pa.table({"item_id": sids.item_ids, **levels, **named}))


def load_sids(path: Path) -> Sids:
    """The SIDs that :func:`save_sids` wrote.

    Raises:
        CorruptFileError: damaged, truncated or foreign.
        FileNotFoundError: no such file.
    """
    table = read_table(path)
    others = ("item_id", "item_key")
    levels = [table[name].to_numpy() for name in table.column_names if name not in others]
    keys = table["item_key"].to_pylist() if "item_key" in table.column_names else None
    return Sids(table["item_id"].to_numpy().copy(), np.stack(levels, axis=1), keys)
