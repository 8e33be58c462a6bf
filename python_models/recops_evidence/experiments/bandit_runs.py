"""Simulations of a policy in worlds that are drawn per seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from recops_evidence.experiments.age_controls import Control, ControlledAge
from recops_evidence.experiments.bandit_floors import bandit_floors
from recops_evidence.experiments.bandit_worlds import (
    LAWS,
    World,
    arrivals,
    film_law_config,
    films,
    unlucky,
)
from recops_evidence.experiments.simulated_bandit import simulate
from recops_evidence.harness.experiment import Experiment, Metrics, Run
from recops_models.callbacks import Callbacks, Portion
from recops_models.click.age import Age, AgeConfig
from recops_models.click.age_scores import AgeScores
from recops_models.click.din import Din, DinConfig
from recops_models.click.model import ClickModel
from recops_models.click.sum_pool import SumPool, SumPoolConfig
from recops_models.data import load
from recops_models.examples.features import FittedSchema
from recops_models.exploration.policy import Policy, named_policy
from recops_models.exploration.selection import Greedy
from recops_models.settings import changed

_ROUNDS, _QUICK_ROUNDS = 200, 20
Base = Literal["sum-pool", "din"]


class Environment(NamedTuple):
    """A world and the click model that learns in it.

    Attributes:
        make: returns the world of a seed and a number of rounds.
        base: the click model.
    """

    make: Callable[[int, int], World]
    base: Base


WORLDS: Mapping[str, Environment] = {
    "arrivals": Environment(lambda seed, rounds: arrivals(seed, rounds=rounds), "sum-pool"),
    "unlucky": Environment(lambda seed, rounds: unlucky(seed), "sum-pool"),
    "ml-1m": Environment(lambda seed, rounds: films(seed, rounds=rounds), "sum-pool"),
    "ml-1m-din": Environment(lambda seed, rounds: films(seed, rounds=rounds), "din"),
}
_PER_WORLD = ("reward", "fair_reward", "shift")
ALL_WORLDS = "all-worlds"
"""Name of the data that means all of :data:`WORLDS`."""


@dataclass(frozen=True)
class BanditSettings:
    """Settings of a policy and its model, the same in every world.

    Attributes:
        strength: λ of AGE; c of "ts", "ucb" and the gradient policies; ε of "epsilon-greedy";
            ignored by "greedy".
        learning_rate: learning rate of Adam.
        weight_decay: weight decay of Adam.
        direction: see :class:`~recops_models.click.age_scores.Exploration`.
        gate: see :class:`~recops_models.click.age_scores.Exploration`.
        relative: see :class:`~recops_models.click.age_scores.Exploration`.
        control: random part of AGE.
    """

    strength: float = 0.0
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    direction: Literal["pgd", "fgm", "linear"] = "pgd"
    gate: Literal["dgu", "fixed", "off"] = "off"
    relative: bool = False
    control: Control = "none"


@dataclass(frozen=True)
class BanditRuns(Experiment[None]):
    """Simulations in one of :data:`WORLDS`, or in all of them with the same settings.

    In :data:`ALL_WORLDS` a run serves every world under one seed. Its metrics are means over the
    worlds; ``reward_WORLD``, ``fair_reward_WORLD`` and ``shift_WORLD`` are of one world. Trials and
    measured runs use different seeds: a trial reports validation metrics, a measured run test
    metrics.
    """

    def config(self, run: Run) -> dict[str, object]:
        """Return the settings, the worlds and the number of rounds."""
        self._check(run)
        return {
            "policy": run.model,
            "worlds": _world_configs(run),
            **dataclasses.asdict(settings_of(run)),
        }

    def takes(self, data: str) -> bool:
        """Return whether ``data`` names a world or all worlds."""
        return data in WORLDS or data == ALL_WORLDS

    def load(self, data: str) -> None:
        """Load the data set behind the worlds, if they have one.

        Raises:
            DataError: the data set is missing.
        """
        if any(name.startswith("ml-1m") for name in _names(data)):
            load("ml-1m")

    def measure(
        self, run: Run, data: None, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :class:`~recops_evidence.experiments.simulated_bandit.Simulated`.

        Raises:
            ValueError: the run asks for a share of the users.
        """
        self._check(run)
        names = _names(run.data)
        by_world: dict[str, Metrics] = {}
        for name in names:
            portion = Portion(callbacks, len(by_world) / len(names), 1 / len(names))
            by_world[name] = _simulated(run, name, portion)
        metrics = _mean_over_worlds(by_world)
        return ({}, metrics) if run.test else (metrics, {})

    def floors_config(self, run: Run) -> object | None:
        """Return the worlds, the seed and the number of rounds."""
        return _world_configs(run)

    def floors(self, run: Run, data: None) -> dict[str, Metrics]:
        """See :func:`~recops_evidence.experiments.bandit_floors.bandit_floors`."""
        rounds = _rounds(run)
        by_world = {
            name: bandit_floors(WORLDS[name].make(run.seed, rounds), rounds=rounds, seed=run.seed)
            for name in _names(run.data)
        }
        floors = next(iter(by_world.values()))
        return {
            floor: _mean_over_worlds({name: figures[floor] for name, figures in by_world.items()})
            for floor in floors
        }

    def _check(self, run: Run) -> None:
        if run.share != 1:
            raise ValueError(f"{run.data}: share must be 1 in a world, got {run.share:g}")
        if not self.takes(run.data):
            known = ", ".join([*WORLDS, ALL_WORLDS])
            raise ValueError(f"data must be one of {known}, got {run.data!r}")


def settings_of(run: Run) -> BanditSettings:
    """Parse the settings of a run.

    Raises:
        ValueError: an unknown setting or a bad value.
    """
    settings = BanditSettings()
    for name, text in run.settings:
        if name not in vars(settings):
            raise ValueError(f"{run.model} has no setting {name!r} in a world")
        settings = changed(settings, name, text)
    return settings


def _names(data: str) -> tuple[str, ...]:
    return tuple(WORLDS) if data == ALL_WORLDS else (data,)


def _world_configs(run: Run) -> list[dict[str, object]]:
    return [
        {
            "world": name,
            "base": WORLDS[name].base,
            "laws": LAWS,
            "teacher": film_law_config() if name.startswith("ml-1m") else None,
            "seed": run.seed,
            "rounds": _rounds(run),
        }
        for name in _names(run.data)
    ]


def _simulated(run: Run, name: str, callbacks: Callbacks) -> Metrics:
    settings, rounds = settings_of(run), _rounds(run)
    world = WORLDS[name].make(run.seed, rounds)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        model, scores = _model(world, settings, WORLDS[name].base), list[AgeScores]()
        outcome = simulate(
            world,
            _policy(run.model, model, settings, scores.append),
            model,
            rounds=rounds,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            seed=run.seed,
            scores=scores,
            callbacks=callbacks,
        )
    return dataclasses.asdict(outcome)


def _mean_over_worlds(by_world: Mapping[str, Metrics]) -> Metrics:
    """Return each metric's mean, and those of :data:`_PER_WORLD` in every world as well."""
    first, *others = by_world.values()
    metrics: Metrics = {}
    for name, value in first.items():
        values = [value, *(other[name] for other in others)]
        defined = [each for each in values if each is not None]
        metrics[name] = sum(defined) / len(defined) if len(defined) == len(values) else None
    if others:
        for name in (name for name in _PER_WORLD if name in first):
            metrics |= {f"{name}_{world}": values[name] for world, values in by_world.items()}
    return metrics


def _rounds(run: Run) -> int:
    return _QUICK_ROUNDS if run.quick else _ROUNDS


def small_net(schema: FittedSchema, base: Base = "sum-pool") -> ClickModel:
    """Return sum pooling or DIN, with embeddings of width 8 and an MLP of 64-32.

    DIN's attention has one hidden layer of 16, to save time.
    """
    if base == "din":
        sizes = DinConfig(width=8, hidden=(64, 32), activation="relu", attention_hidden=(16,))
        return Din(schema, sizes)
    return SumPool(schema, SumPoolConfig(width=8, hidden=(64, 32), activation="relu"))


def age_config(settings: BanditSettings, base: Base = "sum-pool") -> AgeConfig:
    """Return the settings of AGE over :func:`small_net`; N = 8 and T = 3, to save time."""
    return AgeConfig(
        base=base,
        mc_dropout=0.05,
        samples=8,
        steps=3,
        lam=settings.strength,
        direction=settings.direction,
        gate=settings.gate,
        relative=settings.relative,
    )


def _model(world: World, settings: BanditSettings, base: Base) -> Age:
    config = dataclasses.replace(age_config(settings, base), max_impressions=None)
    return ControlledAge(small_net(world.schema, base), config, settings.control).eval()


def _policy(
    name: str, model: Age, settings: BanditSettings, record: Callable[[AgeScores], None]
) -> Policy:
    selection = Greedy(settings.strength) if name == "epsilon-greedy" else None
    return named_policy(name, model, c=settings.strength, selection=selection, on_scores=record)
