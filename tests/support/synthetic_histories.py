"""Synthetic users who walk along a ring of 40 items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from recops_models.data import Dataset, Examples, Histories
from recops_models.data.report import ImportReport

NUM_ITEMS = 40


def histories(rows: list[np.ndarray]) -> Histories:
    offsets = np.cumsum([0, *map(len, rows)])
    items = np.concatenate([*rows, np.empty(0, dtype=np.int64)]).astype(np.int64)
    return Histories(offsets, items, np.arange(len(items)))


def ring(users: int = 120, seed: int = 0) -> tuple[Histories, Examples]:
    """Return training histories, and for each user the next item along the ring."""
    walks = _walks(users, seed)
    train = histories([walk[:-1] for walk in walks])
    targets = histories([walk[-1:] for walk in walks])
    return train, Examples(np.arange(users), train, targets)


def ring_dataset(users: int = 120, seed: int = 0) -> Dataset:
    """Return a data set whose training and validation parts are those of :func:`ring`.

    Test is one more step along the ring. The column ``rank`` is the item modulo 3.
    """
    walks = [np.append(walk, (walk[-1] + 1) % NUM_ITEMS) for walk in _walks(users, seed)]
    user = np.repeat(np.arange(users), [len(walk) for walk in walks])
    step, item = np.concatenate([np.arange(len(walk)) for walk in walks]), np.concatenate(walks)
    order = np.argsort(step, kind="stable")
    columns = {
        "user_id": user,
        "item_id": item,
        "timestamp": step,
        "rank": item % 3,
    }
    return Dataset(
        "ring",
        pa.table({name: column[order] for name, column in columns.items()}),
        pa.table({"item_id": np.arange(NUM_ITEMS)}),
        pa.table({"user_id": np.arange(users)}),
        ImportReport("synthetic"),
        time="order",
    )


def _walks(users: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(NUM_ITEMS) + np.arange(rng.integers(5, 15))) % NUM_ITEMS for _ in range(users)
    ]


def paths() -> tuple[torch.Tensor, tuple[int, ...]]:
    """Return paths of an attribute with 4 values and two codes; items 38 and 39 share theirs."""
    item = torch.arange(NUM_ITEMS).clamp(max=38)
    return torch.stack([item % 4, item // 8, item // 4 % 2 + 2 * (item % 3)], 1), (4, 5, 6)


def write_ring(folder: Path, users: int) -> str:
    """Write a folder of users who walk along a ring of 30 items; return its path."""
    rows = ["user_id,item_id,timestamp"]
    rows += [
        f"{user},{(user + step) % 30 + 1},{step}"
        for user in range(users)
        for step in range(8 + user % 5)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    return str(folder)
