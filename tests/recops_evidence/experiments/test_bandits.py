"""Simulated bandits: worlds, what a run tells, and what AGE's controls leave to chance."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recops_evidence.experiments import bandit_runs, simulated_bandit
from recops_evidence.experiments.age_controls import ControlScorer
from recops_evidence.experiments.bandit_floors import bandit_floors
from recops_evidence.experiments.bandit_runs import (
    ALL_WORLDS,
    WORLDS,
    BanditRuns,
    settings_of,
)
from recops_evidence.experiments.bandit_worlds import World, arrivals, unlucky
from recops_evidence.experiments.simulated_bandit import Tally, simulate, visits
from recops_evidence.harness.experiment import Run
from recops_models.callbacks import Callbacks
from recops_models.click.age import Age, AgeConfig
from recops_models.click.age_scores import Exploration
from recops_models.click.loss import training_loss
from recops_models.click.sum_pool import SumPool, SumPoolConfig
from recops_models.exploration.policy import Policy, named_policy
from recops_models.exploration.scoring import Scoring
from recops_models.exploration.selection import Greedy
from recops_models.layers.counter_random import keys_of
from recops_models.layers.head_passes import HeadPasses
from recops_models.layers.mlp import MLP

RUNS = BanditRuns()
FLOORS = (("greedy", "arrivals"), ("ts", "arrivals"), ("greedy", "unlucky"))


@pytest.fixture(autouse=True)
def _one_thread(set_threads) -> None:
    set_threads(1)


def run(model: str, data: str = "arrivals", *, test: bool = True, **settings: Any) -> Run:
    words = tuple(sorted((name, str(value)) for name, value in settings.items()))
    return Run(RUNS, model, data, words, 3, test, True)


def measured(of: Run) -> dict[str, Any]:
    validation, test = RUNS.measure(of, None, Path("nowhere"), Callbacks())
    return test if of.test else validation


def world_model(world: World) -> Age:
    torch.manual_seed(0)
    sizes = SumPoolConfig(width=4, hidden=(8, 4), activation="relu")
    return Age(SumPool(world.schema, sizes), AgeConfig(gate="off")).eval()


class Oracle(Scoring):
    """The world's own probabilities: a user is known by the taste."""

    def __init__(self, world: World, sign: float) -> None:
        self.probability = sign * torch.from_numpy(world.probability)
        self.place = {row.tobytes(): n for n, row in enumerate(world.users["taste"].numpy())}

    def scores(self, batch: Any, *, seed: int, impressions: Any = None) -> torch.Tensor:
        users = [self.place[row.tobytes()] for row in batch.features["taste"].numpy()]
        return self.probability[users, batch.features["item"] - 2]


def test_pools_are_the_newest_items() -> None:
    world = arrivals(0, rounds=300)
    assert world.pool(0).tolist() == list(range(20))
    pools = [world.pool(number) for number in range(300)]
    assert all(len(pool) == 20 for pool in pools)
    assert pools[-1][-1] == 159, "all are shown"
    assert all((np.diff([pool[0] for pool in pools]) >= 0).tolist())
    assert unlucky(0).pool(0).tolist() == unlucky(0).pool(99).tolist()


def test_worlds_follow_their_seed() -> None:
    one, again, other = arrivals(1, rounds=9), arrivals(1, rounds=9), arrivals(2, rounds=9)
    assert np.array_equal(one.probability, again.probability)
    assert not np.array_equal(one.probability, other.probability)
    assert 0.02 < one.probability.mean() < 0.06
    hidden = unlucky(3)
    best = hidden.probability.mean(0)
    assert best[hidden.quiet].max() > 2 * best[~hidden.quiet].max(), "exploring must pay"


def test_reward_is_1_at_best_and_0_at_random() -> None:
    world = arrivals(0, rounds=4)
    found = {}
    for name, policy in {
        "best": Policy(Oracle(world, 1.0), Greedy()),
        "worst": Policy(Oracle(world, -1.0), Greedy()),
        "random": named_policy("random", world_model(world)),
    }.items():
        model = world_model(world)
        found[name] = simulate(world, policy, model, rounds=4, learning_rate=0.01)
    assert found["best"].reward == pytest.approx(1)
    assert found["worst"].reward < -0.2
    assert abs(found["random"].reward) < 0.2
    assert found["best"].click_rate > found["random"].click_rate > found["worst"].click_rate


def test_visits_are_the_same_whatever_is_shown() -> None:
    world = unlucky(0)
    one, again = (list(visits(world, 9, 4)) for _ in range(2))
    assert [each.shown is None for each in one] == [False] * 3 + [True] * 9
    for a, b in zip(one, again, strict=True):
        assert np.array_equal(a.users, b.users)
        assert np.array_equal(a.luck, b.luck)
    new = np.full(64, 19)
    certain = one[0]._replace(luck=np.zeros(64))
    assert not certain.clicks(world, new).any(), "quiet before the first round"
    assert certain._replace(shown=None).clicks(world, new).all()


def test_floors_count() -> None:
    found = [bandit_floors(unlucky(seed), rounds=120, seed=seed) for seed in range(4)]
    mean = {name: np.mean([each[name]["reward"] for each in found]) for name in found[0]}
    assert mean["random"] == 0
    assert mean["Thompson sampling of counts"] > 0.1
    assert mean["Thompson sampling of counts"] > mean["counts"], "exploring pays"
    assert found[0] == bandit_floors(unlucky(0), rounds=120, seed=0)
    assert RUNS.floors(run("greedy"), None).keys() == found[0].keys()
    configs = [RUNS.floors_config(run(name, data)) for name, data in FLOORS]
    assert configs[0] == configs[1] != configs[2]


def test_a_greedy_learner_is_its_own_fair_bucket() -> None:
    found = measured(run("greedy"))
    assert found["fair_reward"] == found["reward"]
    assert found["shift"] is None
    other = measured(run("epsilon-greedy", strength=0.5))
    assert other["fair_reward"] != other["reward"]


def test_a_learner_fed_with_the_log_of_another_becomes_its_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Why no second learner is simulated for a fair bucket."""
    world, log = arrivals(0, rounds=12), []

    def recorded(model: Age, batch: Any) -> torch.Tensor:
        log.append(batch)
        return training_loss(model, batch)

    monkeypatch.setattr(simulated_bandit, "training_loss", recorded)
    explorer, learner = world_model(world), world_model(world)
    policy = named_policy("epsilon-greedy", explorer, selection=Greedy(0.5))
    simulate(world, policy, explorer, rounds=12, learning_rate=0.01)
    assert len(log) == 16
    optimizer = torch.optim.AdamW(learner.parameters(), lr=0.01, weight_decay=0.0)
    for batch in log:
        learner.train()
        optimizer.zero_grad()
        training_loss(learner, batch).backward()
        optimizer.step()
    theirs = explorer.state_dict()
    assert all(torch.equal(theirs[name], value) for name, value in learner.state_dict().items())


def test_runs_follow_their_seed_and_settings() -> None:
    one, again = (measured(run("age-ucb", strength=0.3, gate="dgu")) for _ in range(2))
    assert one == again
    assert one["shift"] > 0
    assert 0 < one["explored"] < 1
    assert one == measured(run("age-ucb", test=False, strength=0.3, gate="dgu"))
    others = [
        {"strength": 0.6, "gate": "dgu"},
        {"strength": 0.3},
        {"strength": 0.3, "gate": "dgu", "direction": "fgm"},
        {"strength": 0.3, "gate": "dgu", "learning_rate": 0.02},
        {"strength": 0.3, "gate": "dgu", "control": "shuffled"},
        {"strength": 0.3, "gate": "dgu", "relative": "true"},
    ]
    for settings in others:
        assert measured(run("age-ucb", **settings)) != one
    assert measured(run("age-ts", strength=0.3, gate="dgu")) != one
    assert len({run("age-ucb", **settings).key for settings in others}) == len(others)


def test_open_gates_count_whether_or_not_a_score_moves() -> None:
    assert measured(run("age-ts", strength=0.3))["explored"] == 1, "gate=off: all explore"
    still = measured(run("age-ts", strength=0, gate="dgu"))
    assert still["shift"] == 0
    assert 0 < still["explored"] < 1


def test_no_strength_is_no_exploration() -> None:
    greedy = measured(run("greedy"))
    for model in ("age-ucb", "age-ts", "ucb", "ts"):
        assert measured(run(model, strength=0))["reward"] == greedy["reward"]


def test_an_item_is_known_after_five_rounds_on_end() -> None:
    tally, pool, rate = Tally(3), np.array([0, 2]), np.array([0.1, 0.2])
    near, far = np.array([0.108, 0.3]), np.array([0.3, 0.19])
    for predicted in (near, near, near, near, far, *[near] * 6):
        tally.look(pool, predicted, rate)
        tally.count(np.array([0, 0, 2]))
    assert tally.shown.tolist() == [22, 0, 11]
    assert tally.when[0] == 18, "the impressions before the tenth round"
    assert np.isnan(tally.when[1:]).all(), "never near, or only once"


def test_controls_leave_to_chance_what_they_say() -> None:
    passes = HeadPasses(MLP(12, (16, 8), 1, activation_name="relu").double().eval())
    h, rows = torch.randn(500, 12, dtype=torch.float64), torch.arange(500)
    keys, y = keys_of(0, rows), torch.full((500,), 0.5, dtype=torch.float64)
    for kind in ("ts", "ucb"):
        how = Exploration(uncertainty=kind, mc_dropout=0.2)  # type: ignore[arg-type]
        true, shuffled, gaussian, aimless = (
            ControlScorer(passes, how, control)  # type: ignore[arg-type]
            for control in ("none", "shuffled", "gaussian", "random-direction")
        )
        delta = true.uncertainty(h, keys, y)
        mixed = shuffled.uncertainty(h, keys, y)
        assert torch.equal(mixed.sort().values, delta.sort().values)
        assert (mixed != delta).double().mean() > 0.95
        drawn = gaussian.uncertainty(h, keys, y)
        ratio = drawn.square().mean() / delta.square().mean()
        assert ratio == pytest.approx(1, abs=0.3)
        assert (drawn < 0).any() == (kind == "ts")
        assert torch.equal(aimless.uncertainty(h, keys, y), delta)
        straight, crooked = (each.direction(h, keys, ()) for each in (true, aimless))
        for each in (straight, crooked):
            torch.testing.assert_close(each.norm(dim=1), torch.ones_like(y))
        assert abs(F.cosine_similarity(straight, crooked).mean()) < 4 / (500 * 12) ** 0.5
        assert torch.equal(crooked, aimless.direction(h + 1, keys, ())), "of the row, not of h"


def test_all_worlds_are_served_with_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics contain the mean over worlds and the figure of every single world."""
    worlds = {name: WORLDS[name] for name in ("arrivals", "unlucky")}
    monkeypatch.setattr(bandit_runs, "WORLDS", worlds)
    settings: dict[str, Any] = {"strength": 30, "gate": "dgu"}
    joint = measured(run("age-ts", ALL_WORLDS, **settings))
    rewards = [measured(run("age-ts", world, **settings))["reward"] for world in worlds]
    assert [joint[f"reward_{world}"] for world in worlds] == rewards
    assert joint["reward"] == pytest.approx(sum(rewards) / 2)
    greedy = measured(run("greedy", ALL_WORLDS))
    assert greedy["shift"] is None
    floors = RUNS.floors(run("greedy", ALL_WORLDS), None)["counts"]
    alone = [RUNS.floors(run("greedy", world), None)["counts"]["reward"] for world in worlds]
    assert [floors[f"reward_{world}"] for world in worlds] == alone
    assert RUNS.takes(ALL_WORLDS)


def test_gradient_policies_serve_a_world() -> None:
    greedy = measured(run("greedy"))["reward"]
    names = ("gradient-ts", "gradient-ucb", "ur-gradient-ts", "ur-gradient-ucb")
    rewards = {name: measured(run(name, strength=0.3))["reward"] for name in names}
    assert len({greedy, *rewards.values()}) == 5
    assert all(measured(run(name, strength=0))["reward"] == greedy for name in names)


def test_bad_runs_are_named() -> None:
    with pytest.raises(ValueError, match="age-ts has no setting 'lam' in a world"):
        settings_of(run("age-ts", lam=1))
    with pytest.raises(
        ValueError, match=r"data must be one of arrivals, unlucky, ml-1m, .*, got 'mars'"
    ):
        RUNS.config(run("greedy", "mars"))
    with pytest.raises(ValueError, match="share must be 1 in a world"):
        RUNS.config(dataclasses.replace(run("greedy"), share=0.5))
    assert RUNS.takes("unlucky")
    assert not RUNS.takes("ml-100k")
    (world,) = RUNS.config(run("greedy"))["worlds"]
    assert world["rounds"] == 20


@pytest.mark.slow
def test_films_are_a_world(recops_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOPS_DATA", str(recops_data))
    world = WORLDS["ml-1m"].make(0, 40)
    assert world.probability.shape == (800, 160)
    assert world.probability.mean() == pytest.approx(0.04, abs=0.02)
    coming = torch.isin(world.users["history_item"], world.items["item"])
    assert not coming.any(), "nobody has met what is still to come"
    assert measured(run("age-ts", "ml-1m", strength=10))["shift"] > 0
    din = measured(run("age-ts", "ml-1m-din", strength=10))
    assert din["shift"] > 0
    assert din != measured(run("age-ts", "ml-1m", strength=10)), "DIN reads the history"
