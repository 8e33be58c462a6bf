"""Runs that are simulations of a policy in a world that is drawn anew for every seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from recops_models.click.age import Age, AgeConfig
from recops_models.click.age_scores import AgeScores
from recops_models.click.din import Din, DinConfig
from recops_models.click.model import ClickModel
from recops_models.click.sum_pool import SumPool, SumPoolConfig
from recops_models.data import load
from recops_models.evidence.experiments.age_controls import Control, ControlledAge
from recops_models.evidence.experiments.bandit_floors import bandit_floors
from recops_models.evidence.experiments.bandit_worlds import (
    LAWS,
    World,
    arrivals,
    film_law_config,
    films,
    unlucky,
)
from recops_models.evidence.experiments.simulated_bandit import simulate
from recops_models.evidence.harness.experiment import Experiment, Metrics, Run
from recops_models.examples.features import FittedSchema
from recops_models.exploration.policy import Policy, named_policy
from recops_models.exploration.selection import Greedy
from recops_models.settings import changed

_ROUNDS, _QUICK_ROUNDS = 300, 20
WORLDS: Mapping[str, Callable[[int, int], World]] = {
    "arrivals": lambda seed, rounds: arrivals(seed, rounds=rounds),
    "unlucky": lambda seed, rounds: unlucky(seed),
    "ml-1m": lambda seed, rounds: films(seed, rounds=rounds),
}


@dataclass(frozen=True)
class BanditSettings:
    """Of a policy and of its model, in every world.

    Attributes:
        strength: λ of AGE, relative; c of "ts" and "ucb"; ε of "epsilon-greedy"; of no meaning to
            "greedy".
        learning_rate: of Adam.
        weight_decay: of Adam.
        direction: as of :class:`~recops_models.click.age_scores.Exploration`.
        gate: likewise.
        control: what of AGE is left to chance.
    """

    strength: float = 0.0
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    direction: Literal["pgd", "fgm", "linear"] = "pgd"
    gate: Literal["dgu", "fixed", "off"] = "off"
    relative: bool = False
    base: Literal["sum-pool", "din"] = "sum-pool"
    control: Control = "none"


@dataclass(frozen=True)
class BanditRuns(Experiment[None]):
    """Simulations in :data:`WORLDS`; there is no validation apart from test but that of other
    seeds: trials tell their figures as validation's, measured runs as test's.
    """

    def config(self, run: Run) -> dict[str, object]:
        """The settings, the world and the number of rounds."""
        self._check(run)
        return {
            "policy": run.model,
            **_world_config(run),
            **dataclasses.asdict(settings_of(run)),
        }

    def takes(self, data: str) -> bool:
        """Its worlds alone."""
        return data in WORLDS

    def load(self, data: str) -> None:
        """What a world is made of; it stays, for all seeds.

        Raises:
            DataError: it is not at hand.
        """
        if data == "ml-1m":
            load(data)

    def measure(
        self, run: Run, data: None, folder: Path, on_step: Callable[[float], None]
    ) -> tuple[Metrics, Metrics]:
        """See :class:`~recops_models.evidence.experiments.simulated_bandit.Simulated`.

        Raises:
            ValueError: a run on a share of the users, which would be another world.
        """
        self._check(run)
        settings = settings_of(run)
        world = WORLDS[run.data](run.seed, _rounds(run))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            model, told = _model(world, settings), list[AgeScores]()
            found = simulate(
                world,
                _policy(run.model, model, settings, told.append),
                model,
                rounds=_rounds(run),
                learning_rate=settings.learning_rate,
                weight_decay=settings.weight_decay,
                seed=run.seed,
                told=told,
                on_round=on_step,
            )
        metrics: Metrics = dataclasses.asdict(found)
        return ({}, metrics) if run.test else (metrics, {})

    def floors_config(self, run: Run) -> object | None:
        """The world, the seed and the number of rounds."""
        return _world_config(run)

    def floors(self, run: Run, data: None) -> dict[str, Metrics]:
        """See :func:`~recops_models.evidence.experiments.bandit_floors.bandit_floors`."""
        world = WORLDS[run.data](run.seed, _rounds(run))
        return bandit_floors(world, rounds=_rounds(run), seed=run.seed)

    def _check(self, run: Run) -> None:
        if run.share != 1:
            raise ValueError(f"{run.data}: a share of a world's users is another world")
        if run.data not in WORLDS:
            raise ValueError(f"no world {run.data!r}; there are {', '.join(WORLDS)}")


def settings_of(run: Run) -> BanditSettings:
    """The run's, as text, read.

    Raises:
        ValueError: unknown, or a value that is none.
    """
    settings = BanditSettings()
    for name, text in run.settings:
        if name not in vars(settings):
            raise ValueError(f"{run.model} has no setting {name!r} in a world")
        settings = changed(settings, name, text)
    return settings


def _world_config(run: Run) -> dict[str, object]:
    return {
        "world": run.data,
        "laws": LAWS,
        "teacher": film_law_config() if run.data == "ml-1m" else None,
        "seed": run.seed,
        "rounds": _rounds(run),
    }


def _rounds(run: Run) -> int:
    return _QUICK_ROUNDS if run.quick else _ROUNDS


def small_net(schema: FittedSchema, base: Literal["sum-pool", "din"] = "sum-pool") -> ClickModel:
    """Return sum pooling or DIN, with embeddings of width 8 and an MLP of 64-32."""
    if base == "din":
        return Din(schema, DinConfig(width=8, hidden=(64, 32), activation="relu"))
    return SumPool(schema, SumPoolConfig(width=8, hidden=(64, 32), activation="relu"))


def age_config(settings: BanditSettings) -> AgeConfig:
    """AGE upon :func:`small_net`; N = 8 and T = 3, for time."""
    return AgeConfig(
        base=settings.base,
        mc_dropout=0.05,
        samples=8,
        steps=3,
        lam=settings.strength,
        direction=settings.direction,
        gate=settings.gate,
        relative=settings.relative,
    )


def _model(world: World, settings: BanditSettings) -> Age:
    config = dataclasses.replace(age_config(settings), max_impressions=None)
    return ControlledAge(small_net(world.schema, settings.base), config, settings.control).eval()


def _policy(
    name: str, model: Age, settings: BanditSettings, told: Callable[[AgeScores], None]
) -> Policy:
    selection = Greedy(settings.strength) if name == "epsilon-greedy" else None
    return named_policy(name, model, c=settings.strength, selection=selection, told=told)
