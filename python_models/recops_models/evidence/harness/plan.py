"""Which runs a set of claims asks for: first every trial of an arm, then its best, seeded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from recops_models.evidence.harness.claim import Arm, Claim
from recops_models.evidence.harness.experiment import ArmSettings, Run
from recops_models.evidence.harness.run_store import Record
from recops_models.training.curve import LOWER_IS_BETTER

TUNING_SEED = 10_000
"""Of the trials, and on from there: draws of their own, so that no measured run was also a chosen
one."""


@dataclass(frozen=True)
class Plan:
    """The runs that ``claims`` ask for, as a function of those that are finished.

    Attributes:
        claims: in the order in which they are measured.
        seeds: of the measured runs, the same for every arm: arms are paired over them.
        quick: a little of each.
    """

    claims: Sequence[Claim]
    seeds: Sequence[int]
    quick: bool = False

    def trials(self, claim: Claim, arm: Arm, data: str) -> list[Run]:
        """The tuning trials of an arm; none measures test. There are none where nothing is to be
        chosen.
        """
        choices = arm.trials()
        return [
            self._run(claim, arm, data, settings, TUNING_SEED + draw, test=False)
            for settings in choices
            for draw in range(claim.tuning_seeds)
            if len(choices) > 1
        ]

    def best(
        self, claim: Claim, arm: Arm, data: str, done: Mapping[Run, Record]
    ) -> ArmSettings | None:
        """Those of the best mean on validation, the first among equals; None while any trial is to
        be done.

        Raises:
            ValueError: the model has no such metric.
        """
        trials = self.trials(claim, arm, data)
        if not trials:
            return arm.trials()[0]
        if any(trial not in done for trial in trials):
            return None
        sign = -1 if claim.metric in LOWER_IS_BETTER else 1
        totals: dict[ArmSettings, float] = {}
        for run in trials:
            value = sign * figure(done[run].validation, claim, arm)
            totals[run.settings] = totals.get(run.settings, 0) + value
        return max(totals, key=lambda settings: totals[settings])

    def measured(self, claim: Claim, arm: Arm, data: str, best: ArmSettings) -> list[Run]:
        """The arm with its best settings, once a seed; test is measured here, and only here."""
        return [self._run(claim, arm, data, best, seed, test=True) for seed in self.seeds]

    def ahead(self, done: Mapping[Run, Record]) -> list[Run]:
        """What is still to be run, each once, in order.

        The first one can be run now. Where an arm's best settings are not known yet, its first
        trial's stand in for them.
        """
        runs = dict.fromkeys(run for run in self._all(done) if run not in done)
        return list(runs)

    def _run(
        self, claim: Claim, arm: Arm, data: str, settings: ArmSettings, seed: int, *, test: bool
    ) -> Run:
        return Run(claim.experiment, arm.model, data, settings, seed, test, self.quick)

    def _all(self, done: Mapping[Run, Record]) -> Iterator[Run]:
        for claim in self.claims:
            for data in claim.data:
                for arm in claim.arms:
                    yield from self.trials(claim, arm, data)
                seeded = []
                for arm in claim.arms:
                    best = self.best(claim, arm, data, done) or arm.trials()[0]
                    seeded.append(self.measured(claim, arm, data, best))
                for of_one_seed in zip(*seeded, strict=True):
                    yield from of_one_seed


def figure(metrics: Mapping[str, float | None], claim: Claim, arm: Arm) -> float:
    """The claim's metric among a run's.

    Raises:
        ValueError: it is not there.
    """
    value = metrics.get(claim.metric)
    if value is None:
        there = ", ".join(name for name, found in metrics.items() if found is not None)
        raise ValueError(f"claim {claim.id}: {arm.model} has no {claim.metric!r}; it has {there}")
    return value


def seconds_left(ahead: Sequence[Run], done: Mapping[Run, Record]) -> float | None:
    """An estimate: each run takes the mean of those most like it; None before any is finished.

    Alike is the same model on the same data, else the same data, else any.
    """
    if not done:
        return None
    likeness = (lambda run: (run.model, run.data), lambda run: run.data, lambda run: None)
    total = 0.0
    for run in ahead:
        for kind in likeness:
            alike = [record.seconds for other, record in done.items() if kind(other) == kind(run)]
            if alike:
                total += sum(alike) / len(alike)
                break
    return total
