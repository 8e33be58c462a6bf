"""Content of ``results.json``: verdicts of a reproduction and the figures behind them.

Format 1 held the figures of every arm of every claim, seed by seed. Format 2 stores the figures of
each distinct arm once, without seeds; :mod:`~recops_evidence.harness.stored_results` stores the
values per seed in a compressed file next to it.
"""

from __future__ import annotations

import json
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
    """Verdict of a claim on one data set.

    ``power`` is the smallest difference that the seeds and users detect with a probability of 80 %.
    Results that lack it are older; their ``interval`` covers seeds only.
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
    """Share of the gap between the second arm and the arm ``to`` that the first arm closes."""

    to: str
    closed: float
    interval: list[float] | None


class DifferenceResult(TypedDict):
    """Difference behind a claim's verdict; ``p`` tests that it equals ``minimum``."""

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


class MeasuredArm(TypedDict):
    """Mean and sample standard deviation over seeds of an arm's test metrics."""

    seeds: int
    mean: dict[str, float]
    std: dict[str, float]


class SeedValues(TypedDict):
    """Test metrics of one measured arm, one value per seed in ascending order of seeds."""

    data: str
    label: str
    arm: str
    model: str
    settings: dict[str, str]
    test: dict[str, list[float]]


class ArmResult(TypedDict):
    """Tuning of one arm on one data set for one claim.

    ``kept`` trials continued from one seed to all tuning seeds (0: all of them). ``widened`` names
    settings that were tried beyond their first grid. ``edges`` names settings whose best value is
    at an end of the grid. ``measured`` is the index of the arm's figures in ``tables.measured``.
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
    measured: int


class FloorResult(TypedDict):
    """Test metrics of a floor: a baseline without a model."""

    data: str
    label: str
    name: str
    test: Metrics


class ResultTables(TypedDict):
    """Figures behind the verdicts; ``differences`` has one entry per claim."""

    arms: list[ArmResult]
    measured: list[MeasuredArm]
    differences: list[DifferenceResult]
    floors: NotRequired[list[FloorResult]]
    quick: bool
    skipped: list[str]
    versions: dict[str, str]


class Results(TypedDict):
    """Content of ``results.json``.

    ``floors`` holds one figure per data set and floor. Its metric is the first one that a claim on
    the data set compares and that the floor has.
    """

    paper: str
    claims: list[ClaimResult]
    floors: NotRequired[dict[str, dict[str, float]]]
    tables: ResultTables
    command: str
    seconds: float


class Measurements:
    """Distinct measured arms, in the order in which they are added.

    Attributes:
        arms: figures over seeds, for ``results.json``.
        values: values per seed; ``values[i]`` belongs to ``arms[i]``.
    """

    def __init__(self) -> None:
        self.arms: list[MeasuredArm] = []
        self.values: list[SeedValues] = []
        self._index: dict[str, int] = {}

    def add(self, values: SeedValues) -> int:
        """Add an arm unless it is there already, and return its index."""
        key = json.dumps(values, sort_keys=True)
        if key not in self._index:
            self._index[key] = len(self.arms)
            test = values["test"]
            self.arms.append(
                {
                    "seeds": max((len(column) for column in test.values()), default=0),
                    "mean": {name: float(np.mean(column)) for name, column in test.items()},
                    "std": {name: float(np.std(column, ddof=1)) for name, column in test.items()},
                }
            )
            self.values.append(values)
        return self._index[key]


def results(
    paper: str,
    findings: Sequence[Finding],
    floors: Sequence[Floor] = (),
    *,
    command: str,
    quick: bool,
    seconds: float,
    skipped: Sequence[str],
) -> tuple[Results, list[SeedValues]]:
    """Return the content of ``results.json`` and the values per seed behind it.

    Args:
        paper: the paper of the claims.
        findings: one per claim and data set.
        floors: baselines without a model on these data sets.
        command: command that repeats the reproduction.
        quick: whether the runs are too small to be evidence.
        seconds: wall time of all runs.
        skipped: one line for each data set that was not measured, with the reason.
    """
    measurements = Measurements()
    arms = _arms(findings, measurements)
    content: Results = {
        "paper": paper,
        "claims": [_claim(finding) for finding in findings],
        "floors": _floors(findings, floors),
        "tables": {
            "arms": arms,
            "measured": measurements.arms,
            "differences": [_difference(finding) for finding in findings],
            "floors": [
                {
                    "data": floor.data,
                    "label": floor.label,
                    "name": floor.name,
                    "test": floor.metrics,
                }
                for floor in floors
            ],
            "quick": quick,
            "skipped": list(skipped),
            "versions": versions(),
        },
        "command": command,
        "seconds": round(seconds, 1),
    }
    return content, measurements.values


def _floors(findings: Sequence[Finding], floors: Sequence[Floor]) -> dict[str, dict[str, float]]:
    by_data: dict[str, dict[str, float]] = {}
    for floor in floors:
        metrics = [
            finding.claim.metric
            for finding in findings
            if (finding.data, finding.claim.experiment.label) == (floor.data, floor.label)
        ]
        values = [value for name in metrics if (value := floor.metrics.get(name)) is not None]
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


def _arms(findings: Sequence[Finding], measurements: Measurements) -> list[ArmResult]:
    """Return the arms of all findings.

    Claims that tune an arm have one entry each. Claims that share an untuned arm have one entry.
    """
    arms: dict[tuple[str, str, ArmSettings, object], ArmResult] = {}
    for finding in findings:
        for side in finding.arms:
            claim = finding.claim
            chooser = claim.experiment if side.validation is None else claim.id
            key = (finding.data, side.arm.name, side.best, chooser)
            if key not in arms:
                arms[key] = _arm(finding, side, measurements)
    return list(arms.values())


def _arm(finding: Finding, side: ArmFigures, measurements: Measurements) -> ArmResult:
    """Return an arm with all test metrics that are defined for all seeds."""
    columns = {
        name: [record.test.get(name) for record in side.records] for name in side.records[0].test
    }
    values = {
        name: defined
        for name, column in columns.items()
        if len(defined := [value for value in column if value is not None]) == len(column)
    }
    claim, label, settings = finding.claim, finding.claim.experiment.label, dict(side.best)
    seed_values: SeedValues = {
        "data": finding.data,
        "label": label,
        "arm": side.arm.name,
        "model": side.arm.model,
        "settings": settings,
        "test": values,
    }
    tuned = claim.tuned_metric
    return {
        "id": claim.id,
        "data": finding.data,
        "label": label,
        "arm": side.arm.name,
        "model": side.arm.model,
        "trials": side.trials,
        "tuning_seeds": claim.tuning_seeds,
        "kept": claim.halving,
        "tuning_share": claim.tuning_share,
        "chosen_by": tuned,
        "grid": {name: list(tried) for name, tried in side.grid.items()},
        "widened": [
            name for name, tried in side.arm.grid.items() if len(side.grid[name]) > len(tried)
        ],
        "edges": list(side.edges),
        "settings": settings,
        "validation": {} if side.validation is None else {tuned: side.validation},
        "measured": measurements.add(seed_values),
    }
