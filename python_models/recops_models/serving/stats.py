"""Statistics of a store."""

from __future__ import annotations

from dataclasses import dataclass

from recops_models.serving.active import Active
from recops_models.serving.generations import FIRST, read_active
from recops_models.serving.keys import ACTIVE, meta_key, totals_key
from recops_models.serving.sealed_values import Totals
from recops_models.serving.stores.store import Store


@dataclass(frozen=True)
class CenterStats:
    """Statistics of a store.

    Attributes:
        users: users with a state.
        events: accepted events of the model that is served.
        liked: how many of these events are likes.
        commits: commits since the store was created.
        store_bytes: size of the store in bytes.
        model_version: version of the model that is served; None if the store is empty.
        model: training folder of that model; None if the store is empty.
        warming: version of the model that is being warmed up; None if there is none.
    """

    users: int
    events: int
    liked: int
    commits: int
    store_bytes: int
    model_version: str | None
    model: str | None
    warming: str | None


def center_stats(store: Store) -> CenterStats:
    """Return the statistics of a store. O(1) in the number of users.

    Raises:
        StoreError: the store cannot be read.
    """
    while True:
        active = read_active(store)
        generation = FIRST if active is None else active.generation
        view = store.view([ACTIVE, totals_key(generation), meta_key(generation + 1)])
        current, totals, warming = view.values
        if current == (None if active is None else active.pack()):
            break
    counts = Totals.unpack(totals)
    return CenterStats(
        users=counts.users,
        events=counts.seen,
        liked=counts.liked,
        commits=view.clock,
        store_bytes=store.num_bytes(),
        model_version=None if active is None else active.version.hex(),
        model=None if active is None else active.folder,
        warming=None if warming is None else Active.unpack(warming).version.hex(),
    )
