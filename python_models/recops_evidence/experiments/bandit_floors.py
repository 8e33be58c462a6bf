"""What counting reaches in a world, without any model and without a look at who asks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recops_evidence.experiments.bandit_worlds import World
from recops_evidence.experiments.simulated_bandit import USERS, visits
from recops_evidence.harness.experiment import Metrics

_CLICKS, _OTHERS = 1.0, 24.0
"""A Beta law of mean .04, before anything is known of an item."""


def bandit_floors(world: World, *, rounds: int, seed: int) -> dict[str, Metrics]:
    """``reward`` and ``click_rate`` of three policies, as
    :class:`~recops_evidence.experiments.simulated_bandit.Simulated` has them.

    "random"; "counts", the highest ``(clicks + 1) / (impressions + 25)``; "Thompson sampling of
    counts", the highest draw from ``Beta(clicks + 1, impressions − clicks + 24)``, for each request
    anew.
    """
    found: dict[str, Metrics] = {}
    for name in ("random", "counts", "Thompson sampling of counts"):
        rng = np.random.default_rng((seed, 3))
        clicks, misses = np.zeros((2, world.probability.shape[1]))
        shown = uniform = best = 0.0
        number = 0
        for visit in visits(world, rounds, seed):
            items = visit.shown
            if items is None:
                pool = world.pool(number)
                a, b = clicks[pool] + _CLICKS, misses[pool] + _OTHERS
                items = pool[_chosen(name, a, b, rng)]
                rate = world.probability[visit.users][:, pool]
                shown += float(world.probability[visit.users, items].sum())
                uniform, best = uniform + float(rate.mean(1).sum()), best + float(rate.max(1).sum())
                number += 1
            clicked = visit.clicks(world, items)
            np.add.at(clicks, items, clicked)
            np.add.at(misses, items, ~clicked)
        if name == "random":
            shown = uniform
        found[name] = {
            "reward": (shown - uniform) / (best - uniform),
            "click_rate": shown / (rounds * USERS),
        }
    return found


def _chosen(
    name: str, a: NDArray[np.float64], b: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """``[R]``: places among candidates whose rates have the laws ``Beta(a, b)``."""
    if name == "counts":
        return np.full(USERS, (a / (a + b)).argmax())
    if name == "random":
        return rng.integers(len(a), size=USERS)
    return np.asarray(rng.beta(a, b, size=(USERS, len(a))).argmax(1))
