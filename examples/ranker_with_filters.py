"""A ranker that serves new users, and only items in stock.

python examples/ranker_with_filters.py
"""

from __future__ import annotations

import numpy as np

import recops_models as rm

USERS, ITEMS, LENGTH = 200, 40, 12


def make_log() -> dict[str, list[object]]:
    """Return events of users who walk along a ring of items."""
    rng = np.random.default_rng(0)
    log: dict[str, list[object]] = {"user_id": [], "item_id": [], "timestamp": []}
    for user in range(USERS):
        start = int(rng.integers(ITEMS))
        for step in range(LENGTH):
            log["user_id"].append(f"user-{user}")
            log["item_id"].append(f"item-{(start + step) % ITEMS}")
            log["timestamp"].append(step)
    return log


def main() -> None:
    """Train SASRec, then recommend to a session under filters."""
    model = rm.train("sasrec", rm.Dataset.from_frames(make_log()), {"epochs": 5, "width": 32})

    session = {"user_id": ["visitor"] * 3, "item_id": ["item-10", "item-11", "item-12"]}
    best = model.recommend(histories=session, k=3)
    print(f"next items: {list(best['item_id'])}")

    in_stock = [f"item-{item}" for item in range(0, ITEMS, 2)]
    available = model.recommend(histories=session, k=3, allowed=in_stock, banned=["item-14"])
    print(f"in stock, without item-14: {list(available['item_id'])}")

    near = model.similar_items(["item-12"], k=3)
    print(f"similar to item-12: {list(near['similar_item_id'])}")


if __name__ == "__main__":
    main()
