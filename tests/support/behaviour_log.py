"""Generated log of a shop in the columns of Taobao's: user, item, category, behaviour, time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

BEHAVIOURS = ("pv", "fav", "cart", "buy")
SCHEMA = """\
event:
  behaviour: {role: category, known: after}
item:
  category: category
labels:
  cart: behaviour in ('cart', 'buy')
  purchase: behaviour = 'buy'
"""


def write_behaviour_log(
    folder: Path, *, users: int = 120, events: int = 20, items: int = 60, seed: int = 0
) -> Path:
    """Write ``interactions.csv`` and ``schema.yaml``; return the folder.

    A user likes two of six categories, and views mostly items of these. An item is cheap or dear.
    Cheap items are bought more often, and only by users of an even number. Some events repeat the
    previous item of the user.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    category = rng.integers(0, 6, items)
    is_cheap = rng.random(items) < 0.5
    rows = []
    for user in range(users):
        liked = rng.choice(6, 2, replace=False)
        weight = np.where(np.isin(category, liked), 8.0, 1.0)
        item = int(rng.choice(items, p=weight / weight.sum()))
        time = 1_511_539_200 + int(rng.integers(0, 86_400))
        for _ in range(events):
            if rng.random() > 0.15:
                item = int(rng.choice(items, p=weight / weight.sum()))
            time += int(rng.integers(60, 20_000))
            buys = 0.45 if is_cheap[item] and user % 2 == 0 else 0.03
            kind = rng.choice(4, p=[0.85 - buys, 0.05, 0.10, buys])
            rows.append((time, f"{user},{item},{category[item]},{BEHAVIOURS[kind]},{time}"))
    lines = [line for _, line in sorted(rows)]
    header = "user_id,item_id,category,behaviour,timestamp"
    (folder / "interactions.csv").write_text("\n".join([header, *lines]) + "\n")
    (folder / "schema.yaml").write_text(SCHEMA)
    return folder
