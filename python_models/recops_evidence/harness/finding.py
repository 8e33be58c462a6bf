"""Comparison of arms, seed by seed: from finished runs to verdicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import ArmSettings, Run, Setting
from recops_evidence.harness.plan import Plan, figure
from recops_evidence.harness.run_store import Record
from recops_evidence.harness.user_draws import user_difference
from recops_evidence.harness.verdict import ALPHA, Verdict, verdict
from recops_models.evaluation.bootstrap import percentiles
from recops_models.evaluation.holm import holm
from recops_models.evaluation.paired_ratio import Ratio, paired_ratio
from recops_models.evaluation.power import seeds_to_settle, smallest_difference
from recops_models.evaluation.seeds_and_users import SeedsAndUsers


@dataclass(frozen=True)
class ArmFigures:
    """Figures of one arm on one data set.

    Attributes:
        arm: the declared arm.
        best: its selected settings.
        trials: number of trials; 1 if nothing was tuned.
        grid: tried values by setting, including those beyond the first edges.
        edges: settings whose best value is at an end of the grid.
        validation: mean validation value of the selecting metric; None if runs lack it.
        records: records of the selected settings, one per seed.
    """

    arm: Arm
    best: ArmSettings
    trials: int
    grid: Mapping[str, Sequence[Setting]]
    edges: Sequence[str]
    validation: float | None
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Finding:
    """Outcome of a claim on one data set.

    Attributes:
        claim: the claim.
        data: name of the data set.
        arms: figures of all arms of the claim.
        differences: test metric of the first arm minus that of the second, one per seed.
        measured: mean difference.
        interval: 95 % interval of the mean over seeds and users.
        seeds: 95 % interval over seeds (Student's t).
        users: 95 % interval over users (bootstrap); None for metrics that are not means over users.
        p_value: two-sided p-value of the claim's threshold, over seeds and users.
        p_holm: ``p_value`` adjusted for all findings of the reproduction (Holm).
        power: minimum detectable distance from the threshold with 80 % power, given the spread of
            these runs, at the level of Holm's first step.
        seeds_needed: number of seeds that would detect the measured difference with 80 % power;
            None: more than 1,000.
        gap_closed: share of the gap between the second arm and the claim's ceiling that the first
            arm closes; None without a ceiling, or if the gap is zero.
    """

    claim: Claim
    data: str
    arms: tuple[ArmFigures, ...]
    differences: tuple[float, ...]
    measured: float
    interval: tuple[float, float]
    seeds: tuple[float, float]
    users: tuple[float, float] | None
    p_value: float
    p_holm: float
    power: float
    seeds_needed: int | None
    gap_closed: Ratio | None

    @property
    def verdict(self) -> Verdict:
        """See :func:`~recops_evidence.harness.verdict.verdict`."""
        return verdict(self.claim, self.measured, self.p_holm)


def findings(plan: Plan, finished: Mapping[Run, Record]) -> list[Finding]:
    """Return the outcome of every claim on each of its data sets; all runs must be ``finished``."""
    pairs = [(claim, data) for claim in plan.claims for data in claim.data]
    outcomes = [_finding(plan, finished, claim, data, len(pairs)) for claim, data in pairs]
    adjusted = holm([finding.p_value for finding in outcomes])
    return [
        dataclasses.replace(finding, p_holm=p_holm)
        for finding, p_holm in zip(outcomes, adjusted, strict=True)
    ]


def _finding(
    plan: Plan, finished: Mapping[Run, Record], claim: Claim, data: str, claims: int
) -> Finding:
    arms = []
    tuned = plan.tuning(claim, data, finished)
    for arm in claim.arms:
        best = tuned.best[arm.name]
        records = tuple(finished[run] for run in plan.measured(claim, arm, data, best))
        arms.append(
            ArmFigures(
                arm,
                best,
                tuned.trials if arm.grid else 1,
                tuned.grids[arm.name],
                tuned.edges.get(arm.name, ()),
                _validation(claim, records),
                records,
            )
        )
    columns = {
        side.arm.name: np.array([figure(record.test, claim, side.arm) for record in side.records])
        for index, side in enumerate(arms)
        if index < 2 or side.arm.name == claim.ceiling
    }
    first, second = (columns[side.arm.name] for side in arms[:2])
    gap = None
    if claim.ceiling is not None:
        gap = paired_ratio(first - second, columns[claim.ceiling] - second)
    user_draws = user_difference(
        claim.metric, *([record.draws for record in side.records] for side in arms[:2])
    )
    law = SeedsAndUsers.of(first - second, user_draws)
    measured = float((first - second).mean())
    threshold = claim.towards(claim.threshold)
    p_value = law.p_value(threshold)
    spread = law.error * law.seeds**0.5
    level = 1 - ALPHA / claims
    return Finding(
        claim=claim,
        data=data,
        arms=tuple(arms),
        differences=tuple((first - second).tolist()),
        measured=measured,
        interval=law.interval(),
        seeds=SeedsAndUsers.of(first - second).interval(),
        users=None if user_draws is None else percentiles(user_draws, 0.95),
        p_value=p_value,
        p_holm=p_value,
        power=smallest_difference(spread, law.seeds, law.users_error, level=level),
        seeds_needed=seeds_to_settle(
            abs(measured - threshold), spread, law.users_error, level=level
        ),
        gap_closed=None if gap is None or np.isnan(gap.value) else gap,
    )


def _validation(claim: Claim, records: Sequence[Record]) -> float | None:
    values = [record.validation.get(claim.tuned_metric) for record in records]
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if len(defined) == len(values) else None
