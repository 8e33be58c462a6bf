"""Two scenes in which the same users want opposite things: made up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recops_models.data import Dataset
from recops_models.data.report import ImportReport

SCENES = ("feed", "search")


@dataclass(frozen=True)
class SyntheticScenes:
    """A user's pair of kinds k is drawn once; an event in the first scene is of an item of kind 2k,
    in the second of kind 2k + 1, and scenes are drawn anew for every event.

    A history holds both kinds, so that it tells the pair and never the scene: who is not told the
    scene of a request can do no better than to spread over both kinds. A share of the events is of
    any item. No user meets an item twice.

    Source: the design notes' control for task-conditioned decoding (UniRec, arXiv 2604.12234,
    section 5.1); the law is ours.

    Attributes:
        users: how many.
        kinds: how many, in pairs.
        of_kind: items of each.
        events: of each user.
        noise: the share of events that are of any item.
    """

    users: int = 800
    kinds: int = 12
    of_kind: int = 20
    events: int = 16
    noise: float = 0.1

    def draw(self, seed: int) -> Dataset:
        """Other users; ``scene`` tells where each event happened."""
        rng = np.random.default_rng(seed)
        items = self.kinds * self.of_kind
        pair = rng.integers(self.kinds // 2, size=self.users)
        scene = rng.integers(2, size=(self.users, self.events))
        met = np.empty((self.users, self.events), dtype=np.int64)
        for user in range(self.users):
            order = rng.permutation(items)
            wanted = {s: iter(order[order % self.kinds == 2 * pair[user] + s]) for s in (0, 1)}
            others = iter(order[order % self.kinds // 2 != pair[user]])
            stray = rng.random(self.events) < self.noise
            for event, place in enumerate(scene[user]):
                met[user, event] = next(others) if stray[event] else next(wanted[int(place)])
        events = pa.table(
            {
                "user_id": np.repeat(np.arange(self.users), self.events),
                "item_id": met.ravel(),
                "timestamp": np.tile(np.arange(self.events), self.users),
                "scene": np.array(SCENES)[scene.ravel()],
            }
        )
        events = events.sort_by([("timestamp", "ascending"), ("user_id", "ascending")])
        people = pa.table({"user_id": np.arange(self.users)})
        things = pa.table({"item_id": np.arange(items)})
        return Dataset("scenes", events, things, people, ImportReport("made up"), time="order")
