"""From finished runs to verdicts: arms compared, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recops_models.evaluation.paired_ratio import Ratio, paired_ratio
from recops_models.evaluation.paired_test import paired_test
from recops_models.evidence.harness.claim import Arm, Claim
from recops_models.evidence.harness.experiment import ArmSettings, Run
from recops_models.evidence.harness.plan import Plan, figure
from recops_models.evidence.harness.run_store import Record, RunStore
from recops_models.evidence.harness.verdict import Verdict, verdict


@dataclass(frozen=True)
class ArmFigures:
    """One arm on one data set: its chosen settings, and what they reached, one record a seed;
    ``validation`` is the mean of the claim's metric there, None where runs have no validation.
    """

    arm: Arm
    best: ArmSettings
    validation: float | None
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Finding:
    """A claim on one data set.

    Attributes:
        differences: of the metric on test, first arm less second, one a seed.
        measured: their mean.
        interval: of the mean, 95 %, over seeds (Student's t).
        users: of the same mean, 95 %, over users drawn anew; None for metrics of the whole alone.
        gap_closed: the share of the way from the second arm to the claim's ceiling, over seeds;
            None without a ceiling.
    """

    claim: Claim
    data: str
    arms: tuple[ArmFigures, ...]
    differences: tuple[float, ...]
    measured: float
    interval: tuple[float, float]
    users: tuple[float, float] | None
    gap_closed: Ratio | None

    @property
    def verdict(self) -> Verdict:
        """See :func:`~recops_models.evidence.harness.verdict.verdict`."""
        return verdict(self.claim, self.interval)


def findings(plan: Plan, store: RunStore, done: Mapping[Run, Record]) -> list[Finding]:
    """The outcome of every claim on every of its data sets; all its runs are ``done``."""
    return [
        _finding(plan, store, done, claim, data) for claim in plan.claims for data in claim.data
    ]


def _finding(
    plan: Plan, store: RunStore, done: Mapping[Run, Record], claim: Claim, data: str
) -> Finding:
    runs: dict[str, list[Run]] = {}
    arms = []
    for arm in claim.arms:
        best = plan.best(claim, arm, data, done)
        assert best is not None  # All trials are done.
        runs[arm.name] = plan.measured(claim, arm, data, best)
        records = tuple(done[run] for run in runs[arm.name])
        arms.append(ArmFigures(arm, best, _validation(claim, arm, records), records))
    columns = {
        side.arm.name: np.array([figure(record.test, claim, side.arm) for record in side.records])
        for side in arms
    }
    first, second = (columns[side.arm.name] for side in arms[:2])
    ceiling = None if claim.ceiling is None else columns[claim.ceiling]
    test = paired_test(first, second)
    folders = [[store.folder(run) for run in runs[arm.name]] for arm in claim.arms[:2]]
    return Finding(
        claim=claim,
        data=data,
        arms=tuple(arms),
        differences=tuple((first - second).tolist()),
        measured=test.mean,
        interval=(test.low, test.high),
        users=claim.experiment.users_interval(claim.metric, folders[0], folders[1]),
        gap_closed=None if ceiling is None else paired_ratio(first - second, ceiling - second),
    )


def _validation(claim: Claim, arm: Arm, records: Sequence[Record]) -> float | None:
    if not any(record.validation for record in records):
        return None
    return float(np.mean([figure(record.validation, claim, arm) for record in records]))
