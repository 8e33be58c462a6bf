"""Claims of papers as comparisons of arms: models, data, metric and tuning budget."""

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
    """One side of a comparison: a model with fixed settings and a grid.

    Attributes:
        name: name in reports.
        model: name in the claim's experiment, such as a model of ``recops train`` or a method of
            ``recops tokenize``.
        settings: fixed settings of every training.
        grid: values by setting; each combination is one tuning trial. Empty: nothing is tuned.
        limits: largest value to which the grid of a setting may be widened.
    """

    name: str
    model: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Setting]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)

    def trials(self) -> list[ArmSettings]:
        """Return the settings of every trial; the last setting of the grid varies fastest."""
        return [
            _settings({**self.settings, **dict(zip(self.grid, values, strict=True))})
            for values in itertools.product(*self.grid.values())
        ]

    def quick(self) -> Arm:
        """Return the arm with its first trial only and the default number of epochs."""
        first = {name: values[:1] for name, values in self.grid.items() if name != "epochs"}
        settings = {name: value for name, value in self.settings.items() if name != "epochs"}
        return dataclasses.replace(self, settings=settings, grid=first)


def _settings(values: Mapping[str, Setting]) -> ArmSettings:
    return tuple(sorted((name, str(value)) for name, value in values.items()))


@dataclass(frozen=True)
class Claim:
    """Claim that ``metric`` of the first arm minus that of the second exceeds :attr:`threshold`.

    Attributes:
        id: name for ``recops reproduce --claims``.
        text: the claim in one sentence.
        source: paper, section, table or equation.
        reported: figures of the paper and the data behind them.
        arms: the arm that is claimed to win, its rival, then arms that are only listed. All arms
            with a grid have the same number of trials.
        data: names of data sets.
        metric: test metric that is compared.
        experiment: measures the runs.
        chosen_by: validation metric that selects trials; None: ``metric``.
        direction: ``"higher"`` or ``"lower"``: claimed side of the first arm's metric.
        minimum: smallest difference that counts, ≥ 0.
        allowance: margin by which an arm that is claimed to be as good may be worse, ≥ 0.
        group: name under which ``recops reproduce --claims`` selects several claims.
        in_quick: whether ``--quick`` includes the claim by default.
        seeds: number of measured runs per arm; ``--seeds`` overrides it.
        tuning_seeds: number of seeds per trial; the trial with the best mean wins.
        most_trials: number of trials per arm, drawn from its grid with the same positions for every
            arm; None: the whole grid.
        halving: number of trials that continue from one seed to all tuning seeds; 0: every trial
            runs under all of them.
        tuning_share: share of the users on which trials run, in (0, 1].
        widenings: maximum number of times that grids grow beyond an edge; see
            :func:`~recops_evidence.harness.tuning.tuning`.
        ceiling: name of a stronger arm. The page shows the share of the gap between the second arm
            and this arm that the first arm closes. No verdict depends on it.

    Raises:
        ValueError: fewer than two arms, duplicate names, unequal numbers of trials, grids of
            different shapes that may be widened, no tuning seed, a share out of range, a negative
            minimum or allowance, both of them, or an unknown ceiling.
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
    in_quick: bool = True
    seeds: int = 5
    tuning_seeds: int = 3
    most_trials: int | None = None
    halving: int = 0
    tuning_share: float = 1.0
    widenings: int = 2
    ceiling: str | None = None

    def __post_init__(self) -> None:
        if len({arm.name for arm in self.arms}) != len(self.arms) or len(self.arms) < 2:
            raise ValueError(f"Claim {self.id}: arms must be two or more with different names")
        tuned = [arm for arm in self.arms if arm.grid]
        budgets = {arm.name: len(arm.trials()) for arm in tuned}
        if len(set(budgets.values())) > 1:
            raise ValueError(
                f"Claim {self.id}: arms must have the same number of trials, got {budgets}"
            )
        shapes = {tuple(len(values) for values in arm.grid.values()) for arm in tuned}
        if self.widenings and len(shapes) > 1:
            raise ValueError(f"Claim {self.id}: grids must have the same shape to be widened")
        if not 0 < self.tuning_share <= 1:
            raise ValueError(
                f"Claim {self.id}: tuning_share must be in (0, 1], got {self.tuning_share}"
            )
        if self.tuning_seeds < 1:
            raise ValueError(f"Claim {self.id}: tuning_seeds must be ≥ 1, got {self.tuning_seeds}")
        if self.minimum < 0:
            raise ValueError(f"Claim {self.id}: minimum must be ≥ 0, got {self.minimum}")
        if self.ceiling is not None and self.ceiling not in {arm.name for arm in self.arms}:
            raise ValueError(f"Claim {self.id}: ceiling must be an arm, got {self.ceiling!r}")
        if self.allowance < 0 or (self.allowance and self.minimum):
            raise ValueError(
                f"Claim {self.id}: allowance must be ≥ 0, and 0 if there is a minimum, "
                f"got {self.allowance}"
            )

    @property
    def tuned_metric(self) -> str:
        """Validation metric that selects trials."""
        return self.chosen_by or self.metric

    @property
    def threshold(self) -> float:
        """Difference in the claimed direction above which the claim holds: minimum − allowance."""
        return self.minimum - self.allowance

    def trials(self, arm: Arm) -> list[ArmSettings]:
        """Return the settings of an arm's trials in grid order, before grids are widened."""
        every = arm.trials()
        if self.most_trials is None or len(every) <= self.most_trials:
            return every
        drawn = np.random.default_rng(0).permutation(len(every))[: self.most_trials]
        return [every[index] for index in sorted(drawn)]

    def towards(self, difference: float) -> float:
        """Return a difference with its sign changed if a lower value is claimed."""
        return -difference if self.direction == "lower" else difference

    def quick(self) -> Claim:
        """Return the small version: the first data set, two seeds, no tuning.

        Runs are small because of :attr:`~recops_evidence.harness.experiment.Run.quick`.
        """
        arms = tuple(arm.quick() for arm in self.arms)
        return dataclasses.replace(self, arms=arms, data=self.data[:1], seeds=2)
