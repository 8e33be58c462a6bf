"""A tiny world with a pattern: items stand in a ring of 40, and a user walks along it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from recops_models.data import Examples, Histories

NUM_ITEMS = 40


def histories(rows: list[np.ndarray]) -> Histories:
    offsets = np.cumsum([0, *map(len, rows)])
    items = np.concatenate([*rows, np.empty(0, dtype=np.int64)]).astype(np.int64)
    return Histories(offsets, items, np.arange(len(items)))


def ring(users: int = 120, seed: int = 0) -> tuple[Histories, Examples]:
    """Training histories, and for each user the next item along the ring."""
    rng = np.random.default_rng(seed)
    walks = [
        (rng.integers(NUM_ITEMS) + np.arange(rng.integers(5, 15))) % NUM_ITEMS for _ in range(users)
    ]
    train = histories([walk[:-1] for walk in walks])
    targets = histories([walk[-1:] for walk in walks])
    return train, Examples(np.arange(users), train, targets)


def paths() -> tuple[torch.Tensor, tuple[int, ...]]:
    """An attribute of 4 values and two codes; items 38 and 39 share their path."""
    item = torch.arange(NUM_ITEMS).clamp(max=38)
    return torch.stack([item % 4, item // 8, item // 4 % 2 + 2 * (item % 3)], 1), (4, 5, 6)


def write_ring(folder: Path, users: int) -> str:
    """A folder that every command reads: users who walk along a ring of 30 items; its path."""
    rows = ["user_id,item_id,timestamp"]
    rows += [
        f"{user},{(user + step) % 30 + 1},{step}"
        for user in range(users)
        for step in range(8 + user % 5)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    return str(folder)
