"""What a reproduction found, as ``results.json`` holds it. It depends on seconds in one entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from typing_extensions import NotRequired

from recops_evidence.harness.experiment import ArmSettings, Metrics, Setting
from recops_evidence.harness.finding import ArmFigures, Finding
from recops_evidence.harness.floors import Floor
from recops_evidence.harness.verdict import Verdict
from recops_models.versions import versions


class ClaimResult(TypedDict):
    """A claim on one data set: what was claimed, what was measured, and ``power``: the smallest
    difference that its seeds and users could have seen at 80 %. (Results from before the protocol
    of power have none; their interval is over seeds alone.)
    """

    id: str
    text: str
    source: str
    reported: str
    measured: float
    interval: list[float]
    seeds: int
    data: str
    power: NotRequired[float]
    verdict: Verdict


class GapClosed(TypedDict):
    """The share of the way to the arm ``to`` that the first arm has come."""

    to: str
    closed: float
    interval: list[float] | None


class DifferenceResult(TypedDict):
    """The difference that a claim's verdict rests on; ``p`` is of one that is the ``minimum``."""

    id: str
    data: str
    metric: str
    direction: str
    minimum: float
    arms: list[str]
    per_seed: list[float]
    users_interval: list[float] | None
    seeds_interval: NotRequired[list[float]]
    p: NotRequired[float]
    p_holm: NotRequired[float]
    seeds_needed: NotRequired[int | None]
    gap: NotRequired[GapClosed]


class SeedFigures(TypedDict):
    """One metric of an arm over its seeds; ``std`` is that of a sample."""

    mean: float
    std: float
    per_seed: list[float]


class ArmResult(TypedDict):
    """One arm on one data set; ``kept`` of its trials went on from one seed to all (0: all did),
    ``widened`` names the settings that were tried beyond their first grid, ``edges`` those whose
    best value still stands at an end.
    """

    id: str
    data: str
    label: NotRequired[str]
    arm: str
    model: str
    trials: int
    tuning_seeds: NotRequired[int]
    kept: NotRequired[int]
    tuning_share: NotRequired[float]
    chosen_by: NotRequired[str]
    grid: NotRequired[dict[str, list[Setting]]]
    widened: NotRequired[list[str]]
    edges: NotRequired[list[str]]
    settings: dict[str, str]
    validation: dict[str, float]
    test: dict[str, SeedFigures]


class FloorResult(TypedDict):
    """What is reached on test without any model."""

    data: str
    label: str
    name: str
    test: Metrics


class ResultTables(TypedDict):
    """What stands behind the verdicts; an entry of ``differences`` for each of the claims."""

    arms: list[ArmResult]
    differences: list[DifferenceResult]
    floors: NotRequired[list[FloorResult]]
    quick: bool
    skipped: list[str]
    versions: dict[str, str]


class Results(TypedDict):
    """The content of ``results.json``; ``floors`` are by data set and name, in the first metric by
    which claims there are judged and of which they have a figure.
    """

    paper: str
    claims: list[ClaimResult]
    floors: NotRequired[dict[str, dict[str, float]]]
    tables: ResultTables
    command: str
    seconds: float


def results(
    paper: str,
    findings: Sequence[Finding],
    floors: Sequence[Floor] = (),
    *,
    command: str,
    quick: bool,
    seconds: float,
    skipped: Sequence[str],
) -> Results:
    """The content of ``results.json``.

    Args:
        paper: whose claims.
        findings: one for each claim and data set.
        floors: of these data sets.
        command: that gives the same again.
        quick: whether this is a look rather than a figure.
        seconds: of all runs, each in the sitting that finished it.
        skipped: what was not measured and why, a line each.
    """
    return {
        "paper": paper,
        "claims": [_claim(finding) for finding in findings],
        "floors": _floors(findings, floors),
        "tables": {
            "arms": _arms(findings),
            "differences": [_difference(finding) for finding in findings],
            "floors": [
                {"data": of.data, "label": of.label, "name": of.name, "test": of.metrics}
                for of in floors
            ],
            "quick": quick,
            "skipped": list(skipped),
            "versions": versions(),
        },
        "command": command,
        "seconds": round(seconds, 1),
    }


def _floors(findings: Sequence[Finding], floors: Sequence[Floor]) -> dict[str, dict[str, float]]:
    by_data: dict[str, dict[str, float]] = {}
    for floor in floors:
        asked = [
            finding.claim.metric
            for finding in findings
            if (finding.data, finding.claim.experiment.label) == (floor.data, floor.label)
        ]
        values = [value for name in asked if (value := floor.metrics.get(name)) is not None]
        if values:
            data = f"{floor.data}, {floor.label}" if floor.label else floor.data
            by_data.setdefault(data, {})[floor.name] = values[0]
    return by_data


def _claim(finding: Finding) -> ClaimResult:
    claim = finding.claim
    return {
        "id": claim.id,
        "text": claim.text,
        "source": claim.source,
        "reported": claim.reported,
        "measured": finding.measured,
        "interval": list(finding.interval),
        "seeds": len(finding.differences),
        "data": finding.data,
        "power": finding.power,
        "verdict": finding.verdict,
    }


def _difference(finding: Finding) -> DifferenceResult:
    claim = finding.claim
    result: DifferenceResult = {
        "id": claim.id,
        "data": finding.data,
        "metric": claim.metric,
        "direction": claim.direction,
        "minimum": claim.threshold,
        "arms": [side.arm.name for side in finding.arms[:2]],
        "per_seed": list(finding.differences),
        "users_interval": None if finding.users is None else list(finding.users),
        "seeds_interval": list(finding.seeds),
        "p": finding.p_value,
        "p_holm": finding.p_holm,
        "seeds_needed": finding.seeds_needed,
    }
    if finding.gap_closed is None:
        return result
    share, interval = finding.gap_closed
    assert claim.ceiling is not None
    bounds = None if interval is None else list(interval)
    return {**result, "gap": {"to": claim.ceiling, "closed": share, "interval": bounds}}


def _arms(findings: Sequence[Finding]) -> list[ArmResult]:
    """Every finding's arms; one that several share stands once, unless each claim chose it anew."""
    arms: dict[tuple[str, str, ArmSettings, object], ArmResult] = {}
    for finding in findings:
        for side in finding.arms:
            claim = finding.claim
            chooser = claim.experiment if side.validation is None else claim.id
            arms.setdefault((finding.data, side.arm.name, side.best, chooser), _arm(finding, side))
    return list(arms.values())


def _arm(finding: Finding, side: ArmFigures) -> ArmResult:
    """The figures of every test metric that is defined for all seeds."""
    columns = {
        name: [record.test.get(name) for record in side.records] for name in side.records[0].test
    }
    values = {
        name: defined
        for name, column in columns.items()
        if len(defined := [v for v in column if v is not None]) == len(column)
    }
    return {
        "id": finding.claim.id,
        "data": finding.data,
        "label": finding.claim.experiment.label,
        "arm": side.arm.name,
        "model": side.arm.model,
        "trials": side.trials,
        "tuning_seeds": finding.claim.tuning_seeds,
        "kept": finding.claim.halving,
        "tuning_share": finding.claim.tuning_share,
        "chosen_by": finding.claim.tuned_metric,
        "grid": {name: list(values) for name, values in side.grid.items()},
        "widened": [
            name for name, values in side.arm.grid.items() if len(side.grid[name]) > len(values)
        ],
        "edges": list(side.edges),
        "settings": dict(side.best),
        "validation": {}
        if side.validation is None
        else {finding.claim.tuned_metric: side.validation},
        "test": {
            name: {"mean": float(np.mean(v)), "std": float(np.std(v, ddof=1)), "per_seed": v}
            for name, v in values.items()
        },
    }
