"""Writer of a small data folder with items, users, scenes and genres that a test can change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

RANKER = {"width": "8", "heads": "2", "history": "6", "epochs": "1"}
CODES = {"codes": "4", "levels": "2"}
LAYERS = {"encoder_layers": "1", "decoder_layers": "1", "hidden": "8"}
CLICK = {"width": "8", "hidden": "16,8", "max_len": "6", "batch": "32", "epochs": "1"}
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "popularity": {},
    "sasrec": RANKER,
    "tiger": {**RANKER, **CODES, **LAYERS},
    "unirec": {**RANKER, **CODES, "expert_hidden": "8", "head_hidden": "8"},
    "din": CLICK,
    "mimn": CLICK,
}
"""Model → settings with which it trains in an instant."""


def write_shop(
    folder: Path,
    *,
    items: Sequence[int] = range(1, 31),
    users: int = 40,
    events: int = 8,
    scenes: Sequence[str] = ("feed", "search"),
    genres: Sequence[str] = ("Comedy", "Drama"),
    id_format: str = "{}",
) -> Path:
    """Write ``interactions.csv``, ``items.csv`` and ``users.csv``.

    Users walk along a ring of the items 1 to 30 and have ``events`` to ``events + 4`` events. The
    last user has no events.
    """
    folder.mkdir(exist_ok=True)
    steps = [(u, s) for u in range(users - 1) for s in range(events + u % 5)]
    rows = [
        f"{id_format.format(u)},{id_format.format((u + s) % 30 + 1)},{s},{scenes[u % len(scenes)]}"
        for u, s in steps
    ]
    item_rows = [f"{id_format.format(i)},Film {i},{genres[i % len(genres)]}" for i in items]
    user_rows = [f"{id_format.format(u)},{'ab'[u % 2]}" for u in range(users)]
    for name, lines in (
        ("interactions", ["user_id,item_id,timestamp,scene", *rows]),
        ("items", ["item_id,title,genre", *item_rows]),
        ("users", ["user_id,age", *user_rows]),
    ):
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder
