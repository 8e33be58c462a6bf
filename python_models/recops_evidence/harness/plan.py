"""Plan of the runs that claims need: the trials of each arm, then its best settings per seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import ArmSettings, Run
from recops_evidence.harness.run_store import Record
from recops_evidence.harness.tuning import Tuning, tuning
from recops_models.training.curve import LOWER_IS_BETTER

TUNING_SEED = 10_000
"""First seed of trials. Measured runs have smaller seeds, so no measured run is also a trial."""


class RunPlan(Protocol):
    """Plan of runs whose results may decide which further runs are needed."""

    def ahead(self, finished: Mapping[Run, Record]) -> list[Run]:
        """Return the remaining runs in order, without duplicates; the first one can start now."""
        ...

    def ready(self, finished: Mapping[Run, Record]) -> list[Run]:
        """Return the runs of :meth:`ahead` that can start now."""
        ...


@dataclass(frozen=True)
class Plan:
    """Runs that ``claims`` need, as a function of the finished runs.

    Attributes:
        claims: claims in the order of measurement.
        first_seed: first seed of the measured runs.
        quick: whether runs are small.
    """

    claims: Sequence[Claim]
    first_seed: int = 0
    quick: bool = False

    def seeds(self, claim: Claim) -> range:
        """Return the seeds of a claim's measured runs; all arms have the same seeds."""
        return range(self.first_seed, self.first_seed + claim.seeds)

    def tuning(self, claim: Claim, data: str, finished: Mapping[Run, Record]) -> Tuning:
        """Return the state of the tuning of a claim's arms; no trial measures test.

        Raises:
            ValueError: a trial lacks the selecting metric.
        """
        sign = -1 if claim.tuned_metric in LOWER_IS_BETTER else 1

        def make(arm: Arm, settings: ArmSettings, draw: int) -> Run:
            seed, share = TUNING_SEED + draw, claim.tuning_share
            return Run(claim.experiment, arm.model, data, settings, seed, False, self.quick, share)

        def score(arm: Arm, record: Record) -> float:
            metric, values = claim.tuned_metric, record.validation
            if record.diverged or (metric in values and values[metric] is None):
                return -math.inf
            return sign * figure(values, claim, arm, metric)

        return tuning(claim, make, score, finished)

    def measured(self, claim: Claim, arm: Arm, data: str, best: ArmSettings) -> list[Run]:
        """Return the runs of an arm with its best settings, one per seed; they measure test."""
        return [
            Run(claim.experiment, arm.model, data, best, seed, True, self.quick)
            for seed in self.seeds(claim)
        ]

    def ahead(self, finished: Mapping[Run, Record]) -> list[Run]:
        """Return the remaining runs in order, without duplicates.

        Before an arm's best settings are known, the settings of its first trial replace them.
        :meth:`ready` returns the runs that can start now; the first run always can.
        """
        return list(dict.fromkeys(run for run, _ in self._all(finished) if run not in finished))

    def ready(self, finished: Mapping[Run, Record]) -> list[Run]:
        """Return the runs of :meth:`ahead` that need no result of another run."""
        startable = (run for run, can_start in self._all(finished) if can_start)
        return list(dict.fromkeys(run for run in startable if run not in finished))

    def _all(self, finished: Mapping[Run, Record]) -> Iterator[tuple[Run, bool]]:
        """Yield all runs, and whether each one can start now."""
        for claim in self.claims:
            for data in claim.data:
                tuned = self.tuning(claim, data, finished)
                yield from ((run, True) for run in tuned.runs)
                by_arm = [
                    self.measured(
                        claim, arm, data, tuned.best.get(arm.name) or claim.trials(arm)[0]
                    )
                    for arm in claim.arms
                ]
                for seed_runs in zip(*by_arm, strict=True):
                    yield from ((run, bool(tuned.best)) for run in seed_runs)


def figure(
    metrics: Mapping[str, float | None], claim: Claim, arm: Arm, metric: str | None = None
) -> float:
    """Return a metric of a run; by default the claim's metric.

    Raises:
        ValueError: the metric is missing or not defined.
    """
    metric = metric or claim.metric
    value = metrics.get(metric)
    if metric in metrics and value is None:
        raise ValueError(
            f"claim {claim.id}: {metric} of {arm.name} is not defined in one of its runs"
        )
    if value is None:
        known = ", ".join(name for name, each in metrics.items() if each is not None)
        raise ValueError(f"claim {claim.id}: {arm.model} has no {metric!r}; it has {known}")
    return value


def seconds_left(ahead: Sequence[Run], finished: Mapping[Run, Record]) -> float | None:
    """Estimate the time of the remaining runs; None before any run is finished.

    A run is estimated by the mean time of finished runs with the same model and data, else with the
    same data, else of all finished runs.
    """
    if not finished:
        return None
    similarity = (lambda run: (run.model, run.data), lambda run: run.data, lambda run: None)
    total = 0.0
    for run in ahead:
        for kind in similarity:
            seconds = [
                record.seconds for other, record in finished.items() if kind(other) == kind(run)
            ]
            if seconds:
                total += sum(seconds) / len(seconds)
                break
    return total
