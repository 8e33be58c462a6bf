"""Simulation of a policy that serves a world, while its model learns from the shown items."""

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
"""Number of requests per round."""
_NEAR, _FOR = 0.1, 5
"""An item's rate counts as known if the mean prediction is within this relative distance for this
number of rounds."""


@dataclass(frozen=True)
class Simulated:
    """Metrics of a simulation; sums of clicks are expected values.

    Attributes:
        reward: ``(shown − uniform) / (best − uniform)``. The terms are sums over requests of the
            click probability of the shown item, of a random candidate and of the best candidate.
            Random choice has 0, the best choice 1.
        fair_reward: ``reward`` if the model's highest scores were shown, without learning from it:
            the value of this policy's log for a learner that does not explore. The paper's fair
            buckets train two such learners on the logs of two policies; here the policy's model is
            that learner, because it learns from this log only.
        click_rate: click rate of the shown items.
        pcoc: predicted divided by expected clicks of the shown items.
        new_share: share of impressions of new items.
        known_share: share of new items whose rate became known: the mean prediction was within 10 %
            for 5 consecutive rounds.
        impressions_to_know: mean over new items of the impressions until then, or of all
            impressions if the rate never became known; see ``known_share``.
        shift: mean ``|ŷ_e − ŷ|`` over candidates; AGE only.
        explored: share of candidates with an open gate; AGE only.
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
    """Requests of a round.

    Attributes:
        users: ``[R]``.
        luck: ``[R]`` in [0, 1): the user clicks on items with a higher click probability.
        shown: ``[R]``, items shown before round 0; None from round 0 on.
    """

    users: Int64Array
    luck: NDArray[np.float64]
    shown: Int64Array | None

    def clicks(self, world: World, items: Int64Array) -> NDArray[np.bool_]:
        """Return ``[R]``, whether users click; quiet items get no clicks before round 0.

        Args:
            world: the world.
            items: ``[R]``, shown items.
        """
        rate = world.probability[self.users, items]
        if self.shown is not None:
            rate = np.where(world.quiet[items], 0.0, rate)
        return np.asarray(self.luck < rate)


def visits(world: World, rounds: int, seed: int) -> Iterator[Visits]:
    """Yield the requests of all rounds, 64 per round; they do not depend on the shown items.

    Before round 0 there are ``rounds // 3`` rounds with random candidates of round 0; quiet items
    have a twentieth of the frequency of others.
    """
    rng, first = np.random.default_rng((seed, 1)), world.pool(0)
    number, share = len(world.probability), np.where(world.quiet[first], 0.05, 1.0)
    for index in range(rounds // 3 + rounds):
        users = rng.integers(number, size=USERS)
        early = index < rounds // 3
        shown = rng.choice(first, size=USERS, p=share / share.sum()) if early else None
        yield Visits(users, rng.random(USERS), shown)


class Tally:
    """Impressions per item, and the impressions after which its rate was known."""

    def __init__(self, items: int) -> None:
        self.shown: Int64Array = np.zeros(items, dtype=np.int64)
        self.near: Int64Array = np.zeros(items, dtype=np.int64)
        self.when: NDArray[np.float64] = np.full(items, np.nan)

    def count(self, items: Int64Array) -> None:
        np.add.at(self.shown, items, 1)

    def look(
        self, pool: Int64Array, predicted: NDArray[np.float64], rate: NDArray[np.float64]
    ) -> None:
        """Compare predicted and true mean rates of the pool's items before a round."""
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
    scores: Sequence[AgeScores] = (),
    callbacks: Callbacks | None = None,
) -> Simulated:
    """Serve 64 requests per round and learn from their clicks, one step of Adam per round.

    Users and their clicks depend on the seed only, see :func:`visits`. Two policies under one seed
    have the same users, and the same clicks on the same items.

    Args:
        world: the world.
        policy: a policy whose scores are the model's.
        model: the learner.
        rounds: number of rounds after the initial ones.
        learning_rate: learning rate of Adam.
        weight_decay: decoupled weight decay of Adam.
        seed: seed of users, clicks and the policy's draws.
        scores: list to which AGE's policy appends the scores of each round.
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
        shift=_mean([float(each.shift) for each in scores]),
        explored=_mean([float(each.explored) for each in scores]),
    )


def _mean(rounds: Sequence[float]) -> float | None:
    """Return the mean, or None without rounds."""
    return float(np.mean(rounds)) if rounds else None
