"""A policy serves a world round by round, and its model learns from what was shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from recops_evidence.experiments.bandit_worlds import World
from recops_models.callbacks import Callbacks
from recops_models.click.age import Age
from recops_models.click.age_scores import AgeScores
from recops_models.click.loss import training_loss
from recops_models.data.histories import Int64Array
from recops_models.exploration.policy import Policy

USERS = 64
"""Requests of a round."""
_NEAR, _FOR = 0.1, 5
"""An item's rate is known once the mean prediction lies within this share of it, and has for so
many rounds."""


@dataclass(frozen=True)
class Simulated:
    """What a run came to; expected clicks, not drawn ones, wherever a sum of them is told.

    Attributes:
        reward: ``(shown − uniform) / (best − uniform)``, sums over requests of the probability of a
            click on what was shown, on a candidate at random, on the best one: 0 at random, 1 at
            best.
        fair_reward: the same, had the model's own favourites been shown instead, which nobody
            learns from: what a learner without exploration makes of this policy's log. In the
            paper's fair buckets two learners that do not explore are fed with the logs of two
            policies. Here the policy's model is that learner, for it learns from that log alone.
        click_rate: of what was shown.
        pcoc: predicted over expected clicks, of what was shown: above 1, the model promises too
            much.
        new_share: the share of impressions that new items had.
        known_share: the share of new items whose rate came to be known: whose mean prediction lay
            within 10 % of it for 5 rounds on end.
        impressions_to_know: the mean over new items of the impressions that each had until then, or
            of all that it had where its rate never was known: to be read beside ``known_share``.
        shift: the mean ``|ŷ_e − ŷ|`` over candidates; of AGE alone.
        explored: the share of candidates whose gate was open; of AGE alone.
    """

    reward: float
    fair_reward: float
    click_rate: float
    pcoc: float
    new_share: float
    known_share: float
    impressions_to_know: float
    shift: float | None
    explored: float | None


class Visits(NamedTuple):
    """The requests of a round.

    Attributes:
        users: ``[R]``.
        luck: ``[R]``, within [0, 1): who is shown what has a probability above it, clicks.
        shown: ``[R]``, items, of the rounds before the first; None from then on.
    """

    users: Int64Array
    luck: NDArray[np.float64]
    shown: Int64Array | None

    def clicks(self, world: World, items: Int64Array) -> NDArray[np.bool_]:
        """``[R]``: whether they click on items; nobody does on quiet ones before the first round.

        Args:
            world: in which they are.
            items: ``[R]``.
        """
        rate = world.probability[self.users, items]
        if self.shown is not None:
            rate = np.where(world.quiet[items], 0.0, rate)
        return np.asarray(self.luck < rate)


def visits(world: World, rounds: int, seed: int) -> Iterator[Visits]:
    """A third as many rounds in which the candidates of round 0 are shown at random, a quiet one a
    twentieth as often as another, then ``rounds``: 64 requests each, the same whatever is shown.
    """
    rng, first = np.random.default_rng((seed, 1)), world.pool(0)
    number, share = len(world.probability), np.where(world.quiet[first], 0.05, 1.0)
    for place in range(rounds // 3 + rounds):
        users = rng.integers(number, size=USERS)
        early = place < rounds // 3
        shown = rng.choice(first, size=USERS, p=share / share.sum()) if early else None
        yield Visits(users, rng.random(USERS), shown)


class Tally:
    """Impressions of items, and when their rates came to be known."""

    def __init__(self, items: int) -> None:
        self.shown: Int64Array = np.zeros(items, dtype=np.int64)
        self.near: Int64Array = np.zeros(items, dtype=np.int64)
        self.when: NDArray[np.float64] = np.full(items, np.nan)

    def count(self, items: Int64Array) -> None:
        np.add.at(self.shown, items, 1)

    def look(
        self, pool: Int64Array, predicted: NDArray[np.float64], rate: NDArray[np.float64]
    ) -> None:
        """Predicted and true mean rates of the pool's items, before a round."""
        near = np.abs(predicted / rate - 1) < _NEAR
        self.near[pool] = np.where(near, self.near[pool] + 1, 0)
        known = pool[(self.near[pool] >= _FOR) & np.isnan(self.when[pool])]
        self.when[known] = self.shown[known]


def simulate(
    world: World,
    policy: Policy,
    model: Age,
    *,
    rounds: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    seed: int = 0,
    told: Sequence[AgeScores] = (),
    callbacks: Callbacks | None = None,
) -> Simulated:
    """Serve 64 requests a round, and learn from their clicks, one step of Adam a round.

    Users, and which of them would click on what, are drawn from the seed alone, see
    :func:`visits`: two policies under one seed meet the same users, and the same clicks where they
    show the same.

    Args:
        world: see there.
        policy: whose scores are the model's.
        model: learns.
        rounds: after the first ones.
        learning_rate: of Adam.
        weight_decay: of Adam, decoupled.
        seed: of users and clicks, and of the policy's draws.
        told: to which the policy, if it is AGE's, adds what each round's scores came to.
        callbacks: receive the share of the rounds that is done.
    """
    callbacks = callbacks or Callbacks()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    probability = world.probability

    def learn(visit: Visits, items: Int64Array) -> None:
        label = torch.from_numpy(visit.clicks(world, items)).float()
        model.train()
        optimizer.zero_grad()
        training_loss(model, world.batch(visit.users, items, label)).backward()
        optimizer.step()
        model.eval()

    tally = Tally(probability.shape[1])
    new = world.quiet | (world.birth > 0)
    sums = dict.fromkeys(("shown", "greedy", "uniform", "best", "predicted", "new"), 0.0)
    each = np.arange(USERS)
    every = visits(world, rounds, seed)
    for visit in islice(every, rounds // 3):
        assert visit.shown is not None
        learn(visit, visit.shown)
    for number, visit in enumerate(every):
        users, pool = visit.users, world.pool(number)
        batch = world.requests(users, pool)
        with torch.no_grad():
            y = model(batch).sigmoid().double().view(USERS, -1).numpy()
        impressions = torch.from_numpy(np.tile(tally.shown[pool], USERS))
        choice = policy.choose(
            batch, seed=seed * rounds + number, candidates=len(pool), impressions=impressions
        )
        chosen = choice.items[:, 0].numpy()
        rate = probability[users][:, pool]  # (R, C)
        tally.look(pool, y.mean(0), rate.mean(0))
        tally.count(pool[chosen])
        sums["shown"] += rate[each, chosen].sum()
        sums["greedy"] += rate[each, y.argmax(1)].sum()
        sums["uniform"] += rate.mean(1).sum()
        sums["best"] += rate.max(1).sum()
        sums["predicted"] += y[each, chosen].sum()
        sums["new"] += new[pool[chosen]].sum()
        learn(visit, pool[chosen])
        callbacks.advance((number + 1) / rounds)
    when, shown = tally.when[new], tally.shown[new]
    reach = sums["best"] - sums["uniform"]
    return Simulated(
        reward=(sums["shown"] - sums["uniform"]) / reach,
        fair_reward=(sums["greedy"] - sums["uniform"]) / reach,
        click_rate=sums["shown"] / (rounds * USERS),
        pcoc=sums["predicted"] / sums["shown"],
        new_share=sums["new"] / (rounds * USERS),
        known_share=float((~np.isnan(when)).mean()),
        impressions_to_know=float(np.where(np.isnan(when), shown, when).mean()),
        shift=_mean([float(scores.shift) for scores in told]),
        explored=_mean([float(scores.explored) for scores in told]),
    )


def _mean(rounds: Sequence[float]) -> float | None:
    """None of no rounds."""
    return float(np.mean(rounds)) if rounds else None
