"""Writers of folders of sequences: from a split in memory, or random ones of any size.

``python tests/support/sequence_parquet.py FOLDER --megabytes 5000``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from recops_models.data.dataset import Dataset, entity_keys
from recops_models.data.histories import Histories
from recops_models.data.splits import leave_one_out


def write_split(dataset: Dataset, folder: Path, *, row_group: int = 1 << 20) -> None:
    """Write the leave-one-out split of a data set in memory, training rows by user index."""
    folder.mkdir(parents=True, exist_ok=True)
    split = leave_one_out(dataset)
    repeats = {"repeats": dataset.repeats}
    (folder / "sequences.json").write_text(json.dumps(repeats))
    items = dataset.items
    if "item_key" in items.column_names:
        keys = items["item_key"]
        items = items.drop_columns(["item_key"]).set_column(0, "item_id", keys)
    pa.parquet.write_table(items, folder / "items.parquet")
    parts = {"train": (np.arange(dataset.users.num_rows), split.histories())}
    for part in ("validation", "test"):
        examples = split.examples(part).next_events()
        parts[part] = (examples.users, _joined(examples.histories, examples.targets))
    for part, (users, histories) in parts.items():
        table = sequence_table(dataset, users, histories)
        pa.parquet.write_table(table, folder / f"{part}.parquet", row_group_size=row_group)


def sequence_table(dataset: Dataset, users: np.ndarray, histories: Histories) -> pa.Table:
    """Return the rows of histories, with the ids of the source."""
    items = entity_keys(dataset, "item").take(pa.array(histories.items)).combine_chunks()
    return pa.table(
        {
            "user_id": entity_keys(dataset, "user").take(pa.array(users)),
            "item_id": pa.ListArray.from_arrays(histories.offsets.astype(np.int32), items),
        }
    )


def _joined(histories: Histories, targets: Histories) -> Histories:
    """Append one target to each history."""
    items = np.insert(histories.items, histories.offsets[1:], targets.items)
    offsets = histories.offsets + np.arange(len(histories.offsets))
    return Histories(offsets, items, np.arange(len(items)))


def write_random(
    folder: Path, *, megabytes: float, seed: int = 0, items: int = 200_000, piece: int = 1 << 14
) -> None:
    """Write about ``megabytes`` of training rows, and a hundredth of that per other part.

    Histories have 2 to 100 items; item popularity follows Zipf's law.

    Args:
        folder: folder to write, created if missing.
        megabytes: size of ``train.parquet``; each part has at least one piece.
        seed: seed of all random values.
        items: size of the catalogue.
        piece: rows per row group.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sequences.json").write_text("{}")
    pa.parquet.write_table(pa.table({"item_id": np.arange(items)}), folder / "items.parquet")
    for part, name in enumerate(("train", "validation", "test")):
        rng = np.random.default_rng((seed, part))
        size = megabytes * 1e6 / (1 if part == 0 else 100)
        path, writer, users = folder / f"{name}.parquet", None, 0
        while writer is None or path.stat().st_size < size:
            offsets = np.concatenate([[0], np.cumsum(rng.integers(2, 101, piece))])
            item = np.minimum((items ** rng.random(offsets[-1])).astype(np.int64), items - 1)
            rows = pa.table(
                {
                    "user_id": np.arange(users, users + piece),
                    "item_id": pa.ListArray.from_arrays(offsets.astype(np.int32), item),
                }
            )
            writer = writer or pa.parquet.ParquetWriter(path, rows.schema)
            writer.write_table(rows)
            users += piece
        writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_random(options.folder, megabytes=options.megabytes, seed=options.seed)
