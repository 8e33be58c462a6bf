"""From finished runs to verdicts: arms compared, seed by seed."""

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
    """One arm on one data set.

    Attributes:
        arm: as it was claimed.
        best: its chosen settings.
        trials: of which they are the best; 1 where there was nothing to choose.
        grid: the values that were tried, those beyond its first edges among them.
        edges: settings whose best value is still at an end of them.
        validation: the mean there of the metric by which trials are, or would be, chosen; None
            where runs do not tell it of validation.
        records: what the best settings reached, one a seed.
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
    """A claim on one data set.

    Attributes:
        differences: of the metric on test, first arm less second, one a seed.
        measured: their mean.
        interval: of the mean, 95 %, over seeds and users.
        seeds: over seeds alone (Student's t).
        users: over users drawn anew alone; None for metrics of the whole.
        p_value: two-sided, of a difference that is the claim's threshold, over seeds and users.
        p_holm: the same, adjusted for all findings of the reproduction (Holm).
        power: the least difference from the threshold that so many seeds and users see with a
            probability of 80 %, by the spread of these runs, at the level of Holm's first step.
        seeds_needed: with which the difference that was measured would be seen so; None: no
            thousand of them.
        gap_closed: the share of the way from the second arm to the claim's ceiling, over seeds;
            None without a ceiling, or where there is no way.
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


def findings(plan: Plan, done: Mapping[Run, Record]) -> list[Finding]:
    """The outcome of every claim on every of its data sets; all its runs are ``done``."""
    asked = [(claim, data) for claim in plan.claims for data in claim.data]
    found = [_finding(plan, done, claim, data, len(asked)) for claim, data in asked]
    adjusted = holm([finding.p_value for finding in found])
    return [
        dataclasses.replace(finding, p_holm=p_holm)
        for finding, p_holm in zip(found, adjusted, strict=True)
    ]


def _finding(
    plan: Plan, done: Mapping[Run, Record], claim: Claim, data: str, claims: int
) -> Finding:
    arms = []
    tuned = plan.tuning(claim, data, done)
    for arm in claim.arms:
        best = tuned.best[arm.name]  # All trials are done.
        records = tuple(done[run] for run in plan.measured(claim, arm, data, best))
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
        for place, side in enumerate(arms)
        if place < 2 or side.arm.name == claim.ceiling  # Others stand beside them.
    }
    first, second = (columns[side.arm.name] for side in arms[:2])
    gap = None
    if claim.ceiling is not None:
        gap = paired_ratio(first - second, columns[claim.ceiling] - second)
    drawn = user_difference(
        claim.metric, *([record.draws for record in side.records] for side in arms[:2])
    )
    law = SeedsAndUsers.of(first - second, drawn)
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
        users=None if drawn is None else percentiles(drawn, 0.95),
        p_value=p_value,
        p_holm=p_value,
        power=smallest_difference(spread, law.seeds, law.users_error, level=level),
        seeds_needed=seeds_to_settle(
            abs(measured - threshold), spread, law.users_error, level=level
        ),
        gap_closed=None if gap is None or np.isnan(gap.value) else gap,
    )


def _validation(claim: Claim, records: Sequence[Record]) -> float | None:
    told = [record.validation.get(claim.tuned_metric) for record in records]
    reached = [value for value in told if value is not None]
    return float(np.mean(reached)) if len(reached) == len(told) else None
