"""Simulated shop log: new users and items every day, and demand that ages.

python -m recops_evidence.daily_loop.shop --out log.csv
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DAY = 86_400


@dataclass(frozen=True)
class ShopPlan:
    """Sizes of a simulated shop.

    Every day, ``new_users`` join and ``new_items`` are launched. A user likes two categories and
    visits each day with probability 0.7. An item's demand is ``exp(−age / half_life · ln 2)`` times
    a log-normal draw. A purchase repeats one of the user's earlier items with probability
    ``repeats``, otherwise it is drawn by demand from a category that the user likes.

    Attributes:
        days: number of days.
        users: users of the first day.
        items: items of the first day, launched on one of the 20 days before it.
        new_users: users who join on each later day.
        new_items: items that are launched on each later day.
        categories: number of categories.
        visit: events of a user per visit.
        repeats: probability that an event repeats an earlier item.
        half_life: days after which an item's demand is halved.
    """

    days: int = 10
    users: int = 600
    items: int = 400
    new_users: int = 30
    new_items: int = 20
    categories: int = 12
    visit: int = 4
    repeats: float = 0.3
    half_life: float = 3.0


def shop_events(plan: ShopPlan, *, seed: int) -> list[tuple[str, str, int]]:
    """Return user id, item id and time in seconds of every event, in the order of time.

    Args:
        plan: sizes.
        seed: seed of all draws.

    Example:
        >>> from recops_evidence.daily_loop.shop import ShopPlan, shop_events
        >>> events = shop_events(ShopPlan(days=2, users=3, items=10, new_users=1), seed=0)
        >>> [len(field) if isinstance(field, str) else field >= 0 for field in events[0]]
        [7, 8, True]
    """
    rng = np.random.default_rng(seed)
    later = np.repeat(np.arange(1, plan.days), plan.new_items)
    launch = np.concatenate([-rng.integers(0, 20, plan.items), later])
    category = rng.integers(0, plan.categories, len(launch))
    appeal = rng.lognormal(sigma=1.0, size=len(launch))
    joined = np.concatenate(
        [np.zeros(plan.users, np.int64), np.repeat(np.arange(1, plan.days), plan.new_users)]
    )
    taste = rng.integers(0, plan.categories, (len(joined), 2))
    earlier: list[list[int]] = [[] for _ in joined]
    events = []
    for day in range(plan.days):
        demand = appeal * np.exp2(-(day - launch) / plan.half_life) * (launch <= day)
        in_category = [_shares(demand, category == c) for c in range(plan.categories)]
        visits = (joined == day) | ((joined < day) & (rng.random(len(joined)) < 0.7))
        for user in np.flatnonzero(visits).tolist():
            start = day * DAY + int(rng.integers(0, DAY - 60 * plan.visit))
            for step in range(plan.visit):
                mine = earlier[user]
                if mine and rng.random() < plan.repeats:
                    item = mine[int(rng.integers(len(mine)))]
                else:
                    shares = in_category[taste[user, int(rng.integers(2))]]
                    item = int(rng.choice(len(shares), p=shares))
                mine.append(item)
                events.append((f"u-{user:05d}", f"sku-{item:04d}", start + 60 * step))
    return sorted(events, key=lambda event: event[2])


def _shares(demand: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of each chosen item in their demand; of all items if none has demand."""
    mine = demand * chosen
    if not mine.any():
        mine = demand
    shares: NDArray[np.float64] = mine / mine.sum()
    return shares


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the log of a simulated shop as CSV with user_id, item_id and timestamp."""
    parser = argparse.ArgumentParser(
        prog="python -m recops_evidence.daily_loop.shop",
        description="Write the log of a simulated shop, with new users and items every day.",
    )
    parser.add_argument("--out", type=Path, required=True, help="the CSV file to write")
    parser.add_argument("--users", type=int, default=ShopPlan.users, help="users of the first day")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    events = shop_events(ShopPlan(users=options.users), seed=options.seed)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("user_id", "item_id", "timestamp"))
        writer.writerows(events)
    print(f"{options.out}: {len(events):,} events")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
