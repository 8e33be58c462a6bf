"""A click model on data frames: train, compare with baselines, score pairs.

python examples/click_model.py
"""

from __future__ import annotations

import numpy as np

import recops_models as rm

USERS, ITEMS, EVENTS = 150, 60, 6000
SETTINGS = {"epochs": 4, "batch": 64, "learning_rate": 0.01, "hidden": (32, 16)}


def make_log() -> dict[str, np.ndarray]:
    """Return events of users in four segments, which each like one of four categories."""
    rng = np.random.default_rng(0)
    user = rng.integers(USERS, size=EVENTS)
    item = rng.integers(ITEMS, size=EVENTS)
    likes = item % 4 == user % 4
    clicked = rng.random(EVENTS) < np.where(likes, 0.8, 0.2)
    return {"user_id": user, "item_id": item, "timestamp": np.arange(EVENTS), "label": clicked}


def main() -> None:
    """Train DIN on clicks, and print metrics, scores and a list."""
    items = {
        "item_id": np.arange(ITEMS),
        "category": [f"category {item % 4}" for item in range(ITEMS)],
    }
    users = {
        "user_id": np.arange(USERS),
        "segment": [f"segment {user % 4}" for user in range(USERS)],
    }
    data = rm.Dataset.from_frames(make_log(), items, users)
    model = rm.train("din", data, SETTINGS)

    results = model.evaluate(data)
    print(f"AUC: {results['test']['auc']:.3f}")
    for name, metrics in results["baselines"].items():
        print(f"AUC of {name}: {metrics['auc']:.3f}")

    scores = model.score({"user_id": [0, 0], "item_id": [4, 5]})
    print(f"user 0 clicks item 4 with {scores[0]:.0%}, item 5 with {scores[1]:.0%}")
    top = model.recommend(users=[0], k=3, exclude_seen=False)
    print(f"items for user 0: {top['item_id'].tolist()}")


if __name__ == "__main__":
    main()
