"""What a store holds, in figures."""

from __future__ import annotations

from dataclasses import dataclass

from recops_models.serving.active import Active
from recops_models.serving.checked import Totals
from recops_models.serving.generations import FIRST, served_now
from recops_models.serving.keys import ACTIVE, meta_key, totals_key
from recops_models.serving.stores.store import Store


@dataclass(frozen=True)
class CenterStats:
    """What a store holds.

    Attributes:
        users: with a state.
        events: accepted, of the model that is served.
        liked: how many of them were liked.
        commits: since the store was made.
        store_bytes: of the store, all in all.
        model_version: of the model that is served; None of an empty store.
        model: the folder of its training.
        warming: the version of a model that is being warmed up; None: there is none.
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
    """The figures, at a cost that does not depend on how many users there are.

    Raises:
        StoreError: the store cannot be read.
    """
    while True:
        active = served_now(store)
        generation = FIRST if active is None else active.generation
        view = store.view([ACTIVE, totals_key(generation), meta_key(generation + 1)])
        now, totals, warming = view.values
        if now == (None if active is None else active.pack()):
            break
    counted = Totals.unpack(totals)
    return CenterStats(
        users=counted.users,
        events=counted.seen,
        liked=counted.liked,
        commits=view.clock,
        store_bytes=store.num_bytes(),
        model_version=None if active is None else active.version.hex(),
        model=None if active is None else active.folder,
        warming=None if warming is None else Active.unpack(warming).version.hex(),
    )
