"""Floors of simulated worlds: policies that count clicks and ignore the user."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recops_evidence.experiments.bandit_worlds import World
from recops_evidence.experiments.simulated_bandit import USERS, visits
from recops_evidence.harness.experiment import Metrics

_CLICKS, _OTHERS = 1.0, 24.0
"""Parameters of the Beta prior of an item's click rate, with mean .04."""


def bandit_floors(world: World, *, rounds: int, seed: int) -> dict[str, Metrics]:
    """Return ``reward`` and ``click_rate`` of three policies.

    The metrics are those of :class:`~recops_evidence.experiments.simulated_bandit.Simulated`.
    "random" shows a random item. "counts" shows the item with the highest ``(clicks + 1) /
    (impressions + 25)``. "Thompson sampling of counts" shows the item with the highest draw from
    ``Beta(clicks + 1, impressions − clicks + 24)``, drawn per request.
    """
    floors: dict[str, Metrics] = {}
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
        floors[name] = {
            "reward": (shown - uniform) / (best - uniform),
            "click_rate": shown / (rounds * USERS),
        }
    return floors


def _chosen(
    name: str, a: NDArray[np.float64], b: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return ``[R]`` indices of candidates whose rates follow ``Beta(a, b)``."""
    if name == "counts":
        return np.full(USERS, (a / (a + b)).argmax())
    if name == "random":
        return rng.integers(len(a), size=USERS)
    return np.asarray(rng.beta(a, b, size=(USERS, len(a))).argmax(1))
