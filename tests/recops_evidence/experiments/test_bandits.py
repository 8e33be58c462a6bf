"""Simulated bandits: worlds, metrics of runs, floors and randomized controls of AGE."""

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


def make_run(model: str, data: str = "arrivals", *, test: bool = True, **settings: Any) -> Run:
    words = tuple(sorted((name, str(value)) for name, value in settings.items()))
    return Run(RUNS, model, data, words, 3, test, True)


def measure(run: Run) -> dict[str, Any]:
    validation, test = RUNS.measure(run, None, Path("nowhere"), Callbacks())
    return test if run.test else validation


def world_model(world: World) -> Age:
    torch.manual_seed(0)
    sizes = SumPoolConfig(width=4, hidden=(8, 4), activation="relu")
    return Age(SumPool(world.schema, sizes), AgeConfig(gate="off")).eval()


class Oracle(Scoring):
    """Click probabilities of the world as scores; the taste of a user identifies the user."""

    def __init__(self, world: World, sign: float) -> None:
        self.probability = sign * torch.from_numpy(world.probability)
        self.row_of_taste = {row.tobytes(): n for n, row in enumerate(world.users["taste"].numpy())}

    def scores(self, batch: Any, *, seed: int, impressions: Any = None) -> torch.Tensor:
        users = [self.row_of_taste[row.tobytes()] for row in batch.features["taste"].numpy()]
        return self.probability[users, batch.features["item"] - 2]


def test_pools_are_the_newest_items() -> None:
    world = arrivals(0, rounds=300)
    assert world.pool(0).tolist() == list(range(20))
    pools = [world.pool(number) for number in range(300)]
    assert all(len(pool) == 20 for pool in pools)
    assert pools[-1][-1] == 159, "every item is shown"
    assert all((np.diff([pool[0] for pool in pools]) >= 0).tolist())
    assert unlucky(0).pool(0).tolist() == unlucky(0).pool(99).tolist()


def test_worlds_depend_on_their_seed() -> None:
    one, same, other = arrivals(1, rounds=9), arrivals(1, rounds=9), arrivals(2, rounds=9)
    assert np.array_equal(one.probability, same.probability)
    assert not np.array_equal(one.probability, other.probability)
    assert 0.02 < one.probability.mean() < 0.06
    hidden = unlucky(3)
    best = hidden.probability.mean(0)
    assert best[hidden.quiet].max() > 2 * best[~hidden.quiet].max(), "exploring must pay"


def test_reward_is_1_for_the_best_policy_and_0_for_a_random_one() -> None:
    world = arrivals(0, rounds=4)
    results = {}
    for name, policy in {
        "best": Policy(Oracle(world, 1.0), Greedy()),
        "worst": Policy(Oracle(world, -1.0), Greedy()),
        "random": named_policy("random", world_model(world)),
    }.items():
        model = world_model(world)
        results[name] = simulate(world, policy, model, rounds=4, learning_rate=0.01)
    assert results["best"].reward == pytest.approx(1)
    assert results["worst"].reward < -0.2
    assert abs(results["random"].reward) < 0.2
    assert results["best"].click_rate > results["random"].click_rate > results["worst"].click_rate


def test_visits_do_not_depend_on_the_shown_items() -> None:
    world = unlucky(0)
    one, same = (list(visits(world, 9, 4)) for _ in range(2))
    assert [visit.shown is None for visit in one] == [False] * 3 + [True] * 9
    for a, b in zip(one, same, strict=True):
        assert np.array_equal(a.users, b.users)
        assert np.array_equal(a.luck, b.luck)
    newest = np.full(64, 19)
    certain = one[0]._replace(luck=np.zeros(64))
    assert not certain.clicks(world, newest).any(), "quiet before the first round"
    assert certain._replace(shown=None).clicks(world, newest).all()


def test_floors_of_click_counts() -> None:
    floors = [bandit_floors(unlucky(seed), rounds=120, seed=seed) for seed in range(4)]
    mean = {
        name: np.mean([world_floors[name]["reward"] for world_floors in floors])
        for name in floors[0]
    }
    assert mean["random"] == 0
    assert mean["Thompson sampling of counts"] > 0.1
    assert mean["Thompson sampling of counts"] > mean["counts"], "exploring pays"
    assert floors[0] == bandit_floors(unlucky(0), rounds=120, seed=0)
    assert RUNS.floors(make_run("greedy"), None).keys() == floors[0].keys()
    configs = [RUNS.floors_config(make_run(name, data)) for name, data in FLOORS]
    assert configs[0] == configs[1] != configs[2]


def test_a_greedy_learner_is_its_own_fair_bucket() -> None:
    greedy = measure(make_run("greedy"))
    assert greedy["fair_reward"] == greedy["reward"]
    assert greedy["shift"] is None
    exploring = measure(make_run("epsilon-greedy", strength=0.5))
    assert exploring["fair_reward"] != exploring["reward"]


def test_a_learner_trained_on_the_log_of_another_has_its_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fair bucket therefore needs no second simulated learner."""
    world, log = arrivals(0, rounds=12), []

    def record_and_train(model: Age, batch: Any) -> torch.Tensor:
        log.append(batch)
        return training_loss(model, batch)

    monkeypatch.setattr(simulated_bandit, "training_loss", record_and_train)
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
    expected = explorer.state_dict()
    assert all(torch.equal(expected[name], value) for name, value in learner.state_dict().items())


def test_runs_depend_on_their_seed_and_settings() -> None:
    one, same = (measure(make_run("age-ucb", strength=0.3, gate="dgu")) for _ in range(2))
    assert one == same
    assert one["shift"] > 0
    assert 0 < one["explored"] < 1
    assert one == measure(make_run("age-ucb", test=False, strength=0.3, gate="dgu"))
    others = [
        {"strength": 0.6, "gate": "dgu"},
        {"strength": 0.3},
        {"strength": 0.3, "gate": "dgu", "direction": "fgm"},
        {"strength": 0.3, "gate": "dgu", "learning_rate": 0.02},
        {"strength": 0.3, "gate": "dgu", "control": "shuffled"},
        {"strength": 0.3, "gate": "dgu", "relative": "true"},
    ]
    for settings in others:
        assert measure(make_run("age-ucb", **settings)) != one
    assert measure(make_run("age-ts", strength=0.3, gate="dgu")) != one
    assert len({make_run("age-ucb", **settings).key for settings in others}) == len(others)


def test_open_gates_are_counted_even_if_no_score_changes() -> None:
    assert measure(make_run("age-ts", strength=0.3))["explored"] == 1, "gate=off: all explore"
    still = measure(make_run("age-ts", strength=0, gate="dgu"))
    assert still["shift"] == 0
    assert 0 < still["explored"] < 1


def test_zero_strength_is_greedy() -> None:
    greedy = measure(make_run("greedy"))
    for model in ("age-ucb", "age-ts", "ucb", "ts"):
        assert measure(make_run(model, strength=0))["reward"] == greedy["reward"]


def test_an_item_is_known_after_five_accurate_rounds_in_a_row() -> None:
    tally, pool, rate = Tally(3), np.array([0, 2]), np.array([0.1, 0.2])
    near, far = np.array([0.108, 0.3]), np.array([0.3, 0.19])
    for predicted in (near, near, near, near, far, *[near] * 6):
        tally.look(pool, predicted, rate)
        tally.count(np.array([0, 0, 2]))
    assert tally.shown.tolist() == [22, 0, 11]
    assert tally.when[0] == 18, "the impressions before the tenth round"
    assert np.isnan(tally.when[1:]).all(), "never near, or only once"


def test_each_control_randomizes_one_part_of_the_exploration() -> None:
    passes = HeadPasses(MLP(12, (16, 8), 1, activation_name="relu").double().eval())
    h, rows = torch.randn(500, 12, dtype=torch.float64), torch.arange(500)
    keys, y = keys_of(0, rows), torch.full((500,), 0.5, dtype=torch.float64)
    for kind in ("ts", "ucb"):
        exploration = Exploration(uncertainty=kind, mc_dropout=0.2)  # type: ignore[arg-type]
        unchanged, shuffled, gaussian, random_direction = (
            ControlScorer(passes, exploration, control)  # type: ignore[arg-type]
            for control in ("none", "shuffled", "gaussian", "random-direction")
        )
        delta = unchanged.uncertainty(h, keys, y)
        permuted = shuffled.uncertainty(h, keys, y)
        assert torch.equal(permuted.sort().values, delta.sort().values)
        assert (permuted != delta).double().mean() > 0.95
        drawn = gaussian.uncertainty(h, keys, y)
        ratio = drawn.square().mean() / delta.square().mean()
        assert ratio == pytest.approx(1, abs=0.3)
        assert (drawn < 0).any() == (kind == "ts")
        assert torch.equal(random_direction.uncertainty(h, keys, y), delta)
        gradient, random = (
            scorer.direction(h, keys, ()) for scorer in (unchanged, random_direction)
        )
        for direction in (gradient, random):
            torch.testing.assert_close(direction.norm(dim=1), torch.ones_like(y))
        assert abs(F.cosine_similarity(gradient, random).mean()) < 4 / (500 * 12) ** 0.5
        assert torch.equal(random, random_direction.direction(h + 1, keys, ())), (
            "it depends on the row, not on h"
        )


def test_all_worlds_are_served_with_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics contain the mean over worlds and the figure of every single world."""
    worlds = {name: WORLDS[name] for name in ("arrivals", "unlucky")}
    monkeypatch.setattr(bandit_runs, "WORLDS", worlds)
    settings: dict[str, Any] = {"strength": 30, "gate": "dgu"}
    joint = measure(make_run("age-ts", ALL_WORLDS, **settings))
    rewards = [measure(make_run("age-ts", world, **settings))["reward"] for world in worlds]
    assert [joint[f"reward_{world}"] for world in worlds] == rewards
    assert joint["reward"] == pytest.approx(sum(rewards) / 2)
    greedy = measure(make_run("greedy", ALL_WORLDS))
    assert greedy["shift"] is None
    floors = RUNS.floors(make_run("greedy", ALL_WORLDS), None)["counts"]
    alone = [RUNS.floors(make_run("greedy", world), None)["counts"]["reward"] for world in worlds]
    assert [floors[f"reward_{world}"] for world in worlds] == alone
    assert RUNS.takes(ALL_WORLDS)


def test_gradient_policies_serve_a_world() -> None:
    greedy = measure(make_run("greedy"))["reward"]
    names = ("gradient-ts", "gradient-ucb", "ur-gradient-ts", "ur-gradient-ucb")
    rewards = {name: measure(make_run(name, strength=0.3))["reward"] for name in names}
    assert len({greedy, *rewards.values()}) == 5
    assert all(measure(make_run(name, strength=0))["reward"] == greedy for name in names)


def test_bad_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="age-ts has no setting 'lam' in a world"):
        settings_of(make_run("age-ts", lam=1))
    with pytest.raises(
        ValueError, match=r"data must be one of arrivals, unlucky, ml-1m, .*, got 'mars'"
    ):
        RUNS.config(make_run("greedy", "mars"))
    with pytest.raises(ValueError, match="share must be 1 in a world"):
        RUNS.config(dataclasses.replace(make_run("greedy"), share=0.5))
    assert RUNS.takes("unlucky")
    assert not RUNS.takes("ml-100k")
    (world,) = RUNS.config(make_run("greedy"))["worlds"]
    assert world["rounds"] == 20


@pytest.mark.slow
def test_movielens_is_a_world(recops_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOPS_DATA", str(recops_data))
    world = WORLDS["ml-1m"].make(0, 40)
    assert world.probability.shape == (800, 160)
    assert world.probability.mean() == pytest.approx(0.04, abs=0.02)
    is_future = torch.isin(world.users["history_item"], world.items["item"])
    assert not is_future.any(), "no history contains an item that arrives later"
    assert measure(make_run("age-ts", "ml-1m", strength=10))["shift"] > 0
    din = measure(make_run("age-ts", "ml-1m-din", strength=10))
    assert din["shift"] > 0
    assert din != measure(make_run("age-ts", "ml-1m", strength=10)), "DIN reads the history"
