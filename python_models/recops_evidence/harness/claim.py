"""A claim of a paper, as an experiment: who is to beat whom, on what, by which figure."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from recops_evidence.harness.experiment import AnyExperiment, ArmSettings, Setting


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: a model and how much of it is tuned.

    Attributes:
        name: what the report calls it.
        model: what the claim's experiment calls it: a model of ``recops train``, a method of
            ``recops tokenize``.
        settings: the same in every training of this arm.
        grid: setting → its values; each combination is one tuning trial. Empty: there is nothing to
            tune, as in popularity.
        limits: setting → the largest value that its grid may be widened to.
    """

    name: str
    model: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Setting]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)

    def trials(self) -> list[ArmSettings]:
        """The settings of every trial, the last name of the grid varying fastest."""
        return [
            _settings({**self.settings, **dict(zip(self.grid, values, strict=True))})
            for values in itertools.product(*self.grid.values())
        ]

    def quick(self) -> Arm:
        """With its first trial alone, and no word on epochs."""
        first = {name: values[:1] for name, values in self.grid.items() if name != "epochs"}
        settings = {name: value for name, value in self.settings.items() if name != "epochs"}
        return dataclasses.replace(self, settings=settings, grid=first)


def _settings(values: Mapping[str, Setting]) -> ArmSettings:
    return tuple(sorted((name, str(value)) for name, value in values.items()))


@dataclass(frozen=True)
class Claim:
    """``metric`` of the first arm less that of the second lies beyond :attr:`threshold`.

    Attributes:
        id: as ``recops reproduce --claims`` takes it.
        text: the claim in one sentence.
        source: paper, section, table or equation.
        reported: the paper's figures, and on which data: seldom those that are at hand.
        arms: the one that is claimed to win, its rival, then any that only stand beside them. All
            that have a grid have equally many trials.
        data: names of data sets.
        metric: of those that runs give, by which arms are compared on test.
        experiment: what runs are.
        chosen_by: the metric by which trials are chosen on validation; None: ``metric``.
        direction: ``"higher"`` where the first arm's figure is claimed to be the higher one.
        minimum: the least difference that counts, ≥ 0.
        allowance: how far the first arm may fall short and still be as good, ≥ 0, where it is not
            claimed to be better.
        group: by which ``recops reproduce --claims`` takes several claims at once.
        glanced: whether ``--quick`` measures it where no claims are named.
        seeds: how many runs of each arm, unless ``--seeds`` says otherwise.
        tuning_seeds: under how many each trial is run; the best one is that of the best mean.
        most_trials: of each arm, the same draw from every arm's grid; None: all of it.
        halving: how many of the trials, run under one seed, go on to all tuning seeds; 0: all are
            run under all of them.
        tuning_share: of the users that trials are run on, within (0, 1].
        widenings: how often grids grow where a best value stands at an edge; see
            :func:`~recops_evidence.harness.tuning.tuning`.
        ceiling: the arm that the first one strives for: what share of the way from the second arm
            to it the first has come is shown beside the difference. No verdict depends on it.

    Raises:
        ValueError: fewer than two arms, two of one name, unequal budgets, grids of unequal shape
            that could be widened, no tuning seed, a share out of range, a negative minimum or
            allowance, or both of them, no arm of the ceiling's name.
    """

    id: str
    text: str
    source: str
    reported: str
    arms: tuple[Arm, ...]
    data: tuple[str, ...]
    metric: str
    experiment: AnyExperiment
    chosen_by: str | None = None
    direction: Literal["higher", "lower"] = "higher"
    minimum: float = 0.0
    allowance: float = 0.0
    group: str = ""
    glanced: bool = True
    seeds: int = 5
    tuning_seeds: int = 3
    most_trials: int | None = None
    halving: int = 0
    tuning_share: float = 1.0
    widenings: int = 2
    ceiling: str | None = None

    def __post_init__(self) -> None:
        if len({arm.name for arm in self.arms}) != len(self.arms) or len(self.arms) < 2:
            raise ValueError(f"Claim {self.id}: arms must be two or more, each with its own name")
        tuned = [arm for arm in self.arms if arm.grid]
        budgets = {arm.name: len(arm.trials()) for arm in tuned}
        if len(set(budgets.values())) > 1:
            raise ValueError(f"Claim {self.id}: arms must have equally many trials, got {budgets}")
        shapes = {tuple(len(values) for values in arm.grid.values()) for arm in tuned}
        if self.widenings and len(shapes) > 1:
            raise ValueError(f"Claim {self.id}: grids must be of one shape to be widened together")
        if not 0 < self.tuning_share <= 1:
            raise ValueError(
                f"Claim {self.id}: tuning_share must lie within (0, 1], got {self.tuning_share}"
            )
        if self.tuning_seeds < 1:
            raise ValueError(f"Claim {self.id}: tuning_seeds must be ≥ 1, got {self.tuning_seeds}")
        if self.minimum < 0:
            raise ValueError(f"Claim {self.id}: minimum must be ≥ 0, got {self.minimum}")
        if self.ceiling is not None and self.ceiling not in {arm.name for arm in self.arms}:
            raise ValueError(f"Claim {self.id}: no arm {self.ceiling!r} to be its ceiling")
        if self.allowance < 0 or (self.allowance and self.minimum):
            raise ValueError(
                f"Claim {self.id}: allowance must be ≥ 0, and 0 beside a minimum, "
                f"got {self.allowance}"
            )

    @property
    def tuned_metric(self) -> str:
        """By which trials are chosen."""
        return self.chosen_by or self.metric

    @property
    def threshold(self) -> float:
        """Beyond which the claim holds, in its direction: the minimum, or less the allowance."""
        return self.minimum - self.allowance

    def trials(self, arm: Arm) -> list[ArmSettings]:
        """The settings of an arm's trials, before grids are widened; in the order of its grid."""
        every = arm.trials()
        if self.most_trials is None or len(every) <= self.most_trials:
            return every
        drawn = np.random.default_rng(0).permutation(len(every))[: self.most_trials]
        return [every[place] for place in sorted(drawn)]

    def towards(self, difference: float) -> float:
        """A difference, positive in the direction that is claimed."""
        return -difference if self.direction == "lower" else difference

    def quick(self) -> Claim:
        """The small version: the first data set, two seeds, nothing to tune; runs themselves are
        small by :attr:`~recops_evidence.harness.experiment.Run.quick`.
        """
        arms = tuple(arm.quick() for arm in self.arms)
        return dataclasses.replace(self, arms=arms, data=self.data[:1], seeds=2)
