"""Synthetic users who want different items in two scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recops_models.data import Dataset
from recops_models.data.report import ImportReport

SCENES = ("feed", "search")


@dataclass(frozen=True)
class SyntheticScenes:
    """Users with a pair of kinds of items, one kind per scene.

    A user's pair k is drawn once. Items are of kind 2k in the first scene and of kind 2k + 1 in the
    second, and the scene is drawn per event. A history has both kinds, so it shows the pair but not
    the scene of the next event. A model that does not know the scene must spread over both kinds.
    A share of the events has random items. No user meets an item twice.

    Source: ours, a control for task-conditioned decoding (UniRec, arXiv 2604.12234, section 5.1).

    Attributes:
        users: number of users.
        kinds: number of kinds, an even number.
        of_kind: items per kind.
        events: events per user.
        noise: share of events with random items.
    """

    users: int = 800
    kinds: int = 12
    of_kind: int = 20
    events: int = 16
    noise: float = 0.1

    def draw(self, seed: int) -> Dataset:
        """Draw users and events; the column ``scene`` has the scene of each event."""
        rng = np.random.default_rng(seed)
        items = self.kinds * self.of_kind
        pair = rng.integers(self.kinds // 2, size=self.users)
        scene = rng.integers(2, size=(self.users, self.events))
        item = np.empty((self.users, self.events), dtype=np.int64)
        for user in range(self.users):
            order = rng.permutation(items)
            by_scene = {s: iter(order[order % self.kinds == 2 * pair[user] + s]) for s in (0, 1)}
            others = iter(order[order % self.kinds // 2 != pair[user]])
            stray = rng.random(self.events) < self.noise
            for event, where in enumerate(scene[user]):
                own = by_scene[int(where)]
                item[user, event] = next(others) if stray[event] else next(own)
        events = pa.table(
            {
                "user_id": np.repeat(np.arange(self.users), self.events),
                "item_id": item.ravel(),
                "timestamp": np.tile(np.arange(self.events), self.users),
                "scene": np.array(SCENES)[scene.ravel()],
            }
        )
        events = events.sort_by([("timestamp", "ascending"), ("user_id", "ascending")])
        user_table = pa.table({"user_id": np.arange(self.users)})
        item_table = pa.table({"item_id": np.arange(items)})
        return Dataset(
            "scenes", events, item_table, user_table, ImportReport("synthetic"), time="order"
        )
