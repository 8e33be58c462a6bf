"""Writer of a click folder of any size.

``python tests/support/click_parquet.py FOLDER --megabytes 5000``

Ids are hashes of 62 bits, item popularity follows Zipf's law, and histories have up to 100 events.
A candidate is likely to be liked if one of the last ten events has its category.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from recops_models.examples.features import Categorical, FeatureSchema, Numeric, Sequence

SCHEMA = FeatureSchema(
    (
        Categorical("user"),
        Categorical("item"),
        Categorical("category"),
        Numeric("price"),
        Sequence("history_item", 100, share_embedding="item"),
        Sequence("history_category", 100, share_embedding="category"),
    )
)


def write_click_folder(
    folder: Path,
    *,
    megabytes: float,
    seed: int = 0,
    users: int = 50_000,
    items: int = 200_000,
    shortest: int = 0,
    piece: int = 1 << 14,
) -> None:
    """Write about ``megabytes`` of training examples, and a fiftieth of that per other part.

    Args:
        folder: folder to write, created if missing.
        megabytes: size of ``train.parquet``; each part has at least one piece.
        seed: seed of all random values.
        users: upper bound of the number of users.
        items: upper bound of the number of items.
        shortest: minimum length of a history.
        piece: rows per row group.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "features.json").write_text(json.dumps(SCHEMA.to_dict()))
    for part, name in enumerate(("train", "validation", "test")):
        rng = np.random.default_rng((seed, part))
        target_bytes = megabytes * 1e6 / (1 if part == 0 else 50)
        path, writer = folder / f"{name}.parquet", None
        while writer is None or path.stat().st_size < target_bytes:
            rows = _piece(rng, users, items, shortest, piece)
            writer = writer or pa.parquet.ParquetWriter(path, rows.schema)
            writer.write_table(rows)
        writer.close()


def _piece(rng: np.random.Generator, users: int, items: int, shortest: int, size: int) -> pa.Table:
    length = rng.integers(shortest, 101, size)
    offsets = np.concatenate([[0], np.cumsum(length)])
    item, history = _popular(rng, items, size), _popular(rng, items, offsets[-1])
    owner = np.repeat(np.arange(size), length)
    recent = np.arange(offsets[-1]) >= np.repeat(offsets[1:] - 10, length)
    again = (history % 50 == item[owner] % 50) & recent
    liked = np.bincount(owner[again], minlength=size) > 0
    label = rng.random(size) < np.where(liked, 0.7, 0.3)
    user = _hash(rng.integers(0, users, size))
    return pa.table(
        {
            "user_id": user,
            "user": user,
            "item": _hash(item),
            "category": (item % 50).astype(np.int32),
            "price": rng.lognormal(size=size).astype(np.float32),
            "history_item": pa.ListArray.from_arrays(offsets.astype(np.int32), _hash(history)),
            "history_category": pa.ListArray.from_arrays(
                offsets.astype(np.int32), (history % 50).astype(np.int32)
            ),
            "label": label.astype(np.int8),
        }
    )


def _popular(rng: np.random.Generator, items: int, count: int) -> np.ndarray:
    """Draw items whose probability is about proportional to 1 / rank."""
    return np.minimum((items ** rng.random(count)).astype(np.int64), items - 1)


def _hash(number: np.ndarray) -> np.ndarray:
    """Map numbers to distinct hashes of 62 bits."""
    return ((number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(2)).astype(
        np.int64
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_click_folder(options.folder, megabytes=options.megabytes, seed=options.seed)
