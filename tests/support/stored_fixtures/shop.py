"""The data set of all stored fixtures: ratings of a few users, with times, scenes and genres."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa

from recops_models.data import Dataset, ImportReport, load, save_dataset
from stored_fixtures.fixture import StoredFixture, Values

USERS, ITEMS, EVENTS = 50, 40, 700
GENRES, SCENES = ("Comedy", "Drama", "Horror"), ("feed", "search")


def draw_shop(events: int = EVENTS) -> Dataset:
    """Draw the data set: each user prefers one genre, and each item has its own quality."""
    draw = random.Random(0)
    genre = [draw.randrange(len(GENRES)) for _ in range(ITEMS)]
    quality = [draw.gauss(0, 1) for _ in range(ITEMS)]
    rows = []
    for second in range(events):
        user, item = draw.randrange(USERS), draw.randrange(ITEMS)
        liking = 2 * (genre[item] == user % len(GENRES)) + quality[item] + draw.gauss(0, 1)
        rating = float(min(5, max(1, round(3 + liking))))
        rows.append((user + 1, item + 1, 60 * second, SCENES[draw.randrange(2)], rating))
    user_id, item_id, timestamp, scene, rating = zip(*rows, strict=True)
    items = range(1, ITEMS + 1)
    return Dataset(
        name="shop",
        interactions=pa.table(
            {
                "user_id": pa.array(user_id, pa.int64()),
                "item_id": pa.array(item_id, pa.int64()),
                "timestamp": pa.array(timestamp, pa.int64()),
                "scene": scene,
                "rating": pa.array(rating, pa.float32()),
            }
        ),
        items=pa.table(
            {
                "item_id": pa.array(items, pa.int64()),
                "title": [f"Film {item} of {GENRES[genre[item - 1]]}" for item in items],
                "genre": [GENRES[kind] for kind in genre],
            }
        ),
        users=pa.table(
            {
                "user_id": pa.array(range(1, USERS + 1), pa.int64()),
                "age": ["young" if user % 2 else "old" for user in range(1, USERS + 1)],
            }
        ),
        time="seconds",
        report=ImportReport("shop"),
    )


def _read(folder: Path) -> Values:
    dataset = load(folder)
    return {
        "name": dataset.name,
        "time": dataset.time,
        "interactions": dataset.interactions.slice(0, 20).to_pydict(),
        "items": dataset.items.to_pydict(),
        "users": dataset.users.to_pydict(),
        "rows": dataset.interactions.num_rows,
    }


SHOP = {"shop": StoredFixture(lambda folder: save_dataset(draw_shop(), folder), _read)}
