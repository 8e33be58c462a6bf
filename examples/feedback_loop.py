"""A feedback loop: explore, log, join clicks, train without the log's bias, estimate, compare.

A shop's personal lists show niche items to their fans, who click. A front page for new visitors is
learned from this log. Plain training takes the fans' clicks for everybody's; training by inverse
propensity does not. The shop is simulated, so the true click rate of each page is known.

python examples/feedback_loop.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

import recops_models as rm

USERS, DAYS, DAY = 6000, 10, 86_400
NICHE, BROAD = 10, 10
ITEMS = NICHE + BROAD
GROUPS = NICHE // 2
SETTINGS = {"epochs": 4, "batch": 128, "learning_rate": 0.02, "width": 8, "hidden": (16,)}
MODEL = {"running_rates": False, "signed": False, "rare_share": 0.0}


def click_probability() -> np.ndarray:
    """Return the true probability of a click, ``[GROUPS, ITEMS]``."""
    broad = np.linspace(0.1, 0.3, BROAD)
    fan_of = np.arange(NICHE) // 2
    niche = np.where(np.arange(GROUPS)[:, None] == fan_of, 0.6, 0.02)
    return np.hstack([niche, np.tile(broad, (GROUPS, 1))])


def purchases(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return five past purchases per user: both items of the user's group, and broad ones."""
    user = np.repeat(np.arange(USERS), 5)
    group = np.arange(USERS) % GROUPS
    broad = np.argsort(rng.random((USERS, BROAD)))[:, :3] + NICHE
    item = np.column_stack([2 * group, 2 * group + 1, broad])
    item = rng.permuted(item, axis=1)
    return {"user_id": user, "item_id": item.ravel(), "timestamp": np.tile(np.arange(5), USERS)}


def serve(shop: rm.Model, log: Path) -> None:
    """Show every user three items on one of the days; half of the places explore."""
    for day in range(DAYS):
        users = np.arange(day, USERS, DAYS)
        shop.recommend(
            users,
            k=3,
            exclude_seen=False,
            explore="epsilon=0.5",
            seed=day,
            log=log,
            log_time=(100 + day) * DAY,
        )


def clicks_on(log: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the clicks of the simulated users, a minute after the impression."""
    shown = rm.read_impressions(log)
    user, item, time = (shown[name].to_numpy() for name in ("user_id", "item_id", "timestamp"))
    is_click = rng.random(len(user)) < click_probability()[user % GROUPS, item]
    return {
        "user_id": user[is_click],
        "item_id": item[is_click],
        "timestamp": time[is_click] + 60,
    }


def front_page(model: rm.Model) -> np.ndarray:
    """Return the three best items for a visitor without history."""
    no_history = pa.array([[]] * ITEMS, pa.list_(pa.int64()))
    visitor = {"user": [-1] * ITEMS, "item": list(range(ITEMS)), "history_item": no_history}
    return np.argsort(-model.score(visitor))[:3]


def main() -> None:
    """Run the loop once, and compare two front pages with the best one."""
    rng = np.random.default_rng(0)
    shop = rm.train("ease", rm.Dataset.from_frames(purchases(rng), repeats="keep"))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        serve(shop, log)
        data = rm.Dataset.from_impressions(log, clicks_on(log, rng), window=3600)
    print(data.report.notes[0])

    truth = click_probability().mean(0)
    pages = {"best possible": np.argsort(-truth)[:3]}
    for loss in ("cross-entropy", "ips"):
        model = rm.train("sum-pool", data, {**SETTINGS, **MODEL, "loss": loss})
        pages[loss] = front_page(model)
        estimate = model.off_policy("epsilon=0.1")["snips"]
        print(
            f"{loss}: clicks per impression, estimated by SNIPS: {estimate['value']:.3f}, "
            f"effective sample size {estimate['effective']:.0f}"
        )
    for name, page in pages.items():
        print(f"front page, {name}: items {page.tolist()}, true clicks {truth[page].mean():.3f}")


if __name__ == "__main__":
    main()
