"""Which runs a set of claims asks for: first every trial of an arm, then its best, seeded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import ArmSettings, Run
from recops_evidence.harness.run_store import Record
from recops_evidence.harness.tuning import Tuning, tuning
from recops_models.training.curve import LOWER_IS_BETTER

TUNING_SEED = 10_000
"""Of the trials, and on from there: draws of their own, so that no measured run was also a chosen
one."""


@dataclass(frozen=True)
class Plan:
    """The runs that ``claims`` ask for, as a function of those that are finished.

    Attributes:
        claims: in the order in which they are measured.
        first_seed: of the measured runs.
        quick: a little of each.
    """

    claims: Sequence[Claim]
    first_seed: int = 0
    quick: bool = False

    def seeds(self, claim: Claim) -> range:
        """Of the claim's measured runs, the same for every arm: arms are paired over them."""
        return range(self.first_seed, self.first_seed + claim.seeds)

    def tuning(self, claim: Claim, data: str, done: Mapping[Run, Record]) -> Tuning:
        """How far the tuning of a claim's arms has come; no trial measures test. There are none
        where nothing is to be chosen.

        Raises:
            ValueError: the model has no such metric.
        """
        sign = -1 if claim.tuned_metric in LOWER_IS_BETTER else 1

        def make(arm: Arm, settings: ArmSettings, draw: int) -> Run:
            seed, share = TUNING_SEED + draw, claim.tuning_share
            return Run(claim.experiment, arm.model, data, settings, seed, False, self.quick, share)

        def worth(arm: Arm, record: Record) -> float:
            told = record.validation
            if record.diverged or (claim.tuned_metric in told and told[claim.tuned_metric] is None):
                return -math.inf
            return sign * figure(record.validation, claim, arm, claim.tuned_metric)

        return tuning(claim, make, worth, done)

    def measured(self, claim: Claim, arm: Arm, data: str, best: ArmSettings) -> list[Run]:
        """The arm with its best settings, once a seed; test is measured here, and only here."""
        return [
            Run(claim.experiment, arm.model, data, best, seed, True, self.quick)
            for seed in self.seeds(claim)
        ]

    def ahead(self, done: Mapping[Run, Record]) -> list[Run]:
        """What is still to be run, each once, in order.

        Where an arm's best settings are not known yet, its first trial's stand in for them: what
        can be run now is :meth:`ready`, and the first one always can.
        """
        return list(dict.fromkeys(run for run, _ in self._all(done) if run not in done))

    def ready(self, done: Mapping[Run, Record]) -> list[Run]:
        """Those of :meth:`ahead` that no other run has to come before."""
        runs = dict.fromkeys(run for run, now in self._all(done) if now and run not in done)
        return list(runs)

    def _all(self, done: Mapping[Run, Record]) -> Iterator[tuple[Run, bool]]:
        """All runs, and whether it is known that they are asked for."""
        for claim in self.claims:
            for data in claim.data:
                found = self.tuning(claim, data, done)
                yield from ((run, True) for run in found.runs)
                seeded = [
                    self.measured(
                        claim, arm, data, found.best.get(arm.name) or claim.trials(arm)[0]
                    )
                    for arm in claim.arms
                ]
                for of_one_seed in zip(*seeded, strict=True):
                    yield from ((run, bool(found.best)) for run in of_one_seed)


def figure(
    metrics: Mapping[str, float | None], claim: Claim, arm: Arm, metric: str | None = None
) -> float:
    """A metric among a run's, the claim's unless another is named.

    Raises:
        ValueError: it is not there, or not defined.
    """
    metric = metric or claim.metric
    value = metrics.get(metric)
    if metric in metrics and value is None:
        raise ValueError(
            f"claim {claim.id}: {metric} of {arm.name} is not defined in one of its runs"
        )
    if value is None:
        there = ", ".join(name for name, found in metrics.items() if found is not None)
        raise ValueError(f"claim {claim.id}: {arm.model} has no {metric!r}; it has {there}")
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
