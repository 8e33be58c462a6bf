"""Content of ``results.json`` of the league, as a function of the finished runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypedDict

import numpy as np

from recops_evidence.harness.experiment import Run
from recops_evidence.harness.run_store import Record
from recops_evidence.harness.user_values import UserValues
from recops_evidence.league.comparison import Mean, RowValues
from recops_evidence.league.description import describe
from recops_evidence.league.league_run import LeagueRun
from recops_evidence.league.plan import Entry, LeaguePlan
from recops_evidence.league.sets import Kind, LeagueSet
from recops_models.versions import versions

METRICS: Mapping[Kind, tuple[str, ...]] = {
    "clicks": (
        "gauc",
        "auc",
        "logloss",
        "gauc_known",
        "auc_known",
        "gauc_frozen",
        "auc_frozen",
        "logloss_frozen",
    ),
    "ranking": ("ndcg@10", "hr@10", "hr@50"),
}
"""Test metrics of a table; the first one is the headline."""


class RowResult(TypedDict):
    """Figures of a row on a set.

    Attributes:
        row: name of the row.
        is_baseline: whether it is a baseline.
        settings: all settings of the measured runs.
        trials: number of tried combinations.
        edges: settings whose best value lies at an edge of the grid.
        seeds: seeds of the measured runs.
        validation: mean of the headline metric on validation.
        per_seed: test metrics, one value per seed.
        headline: the headline metric with its intervals.
        gains: difference in the headline metric by rival: ``"baseline"``, the best baseline by
            validation, and ``"plain"``, the plain rival.
        costs: means of the costs of measured runs.
        use: when to use it.
        avoid: when to avoid it.
    """

    row: str
    is_baseline: bool
    settings: dict[str, str]
    trials: int
    edges: list[str]
    seeds: list[int]
    validation: float
    per_seed: dict[str, list[float]]
    headline: Mean
    gains: dict[str, Mean]
    costs: dict[str, float]
    use: str
    avoid: str


class SetResult(TypedDict):
    """Figures of a set.

    Attributes:
        name: name of the set.
        kind: ``"clicks"`` or ``"ranking"``.
        data: name of the data set.
        digest: digest of its content.
        description: counts of the data and of the parts, by name.
        metric: the headline metric.
        baseline: name of the best baseline by validation; None: none is finished.
        plain: name of the plain rival.
        rows: finished rows.
        missing: unfinished rows by name, with the reason.
    """

    name: str
    kind: Kind
    data: str
    digest: str
    description: dict[str, int | str]
    metric: str
    baseline: str | None
    plain: str
    rows: list[RowResult]
    missing: dict[str, str]


class LeagueResults(TypedDict):
    """Content of ``results.json``.

    Attributes:
        protocol: number of the protocol.
        command: command that repeats the measurement.
        quick: whether runs are small, and so no evidence.
        runs: number of finished runs.
        core_hours: computing time of all finished runs.
        sets: sets with their finished and missing rows.
        versions: versions of packages.
    """

    protocol: int
    command: str
    quick: bool
    runs: int
    core_hours: float
    sets: list[SetResult]
    versions: dict[str, str]


def league_results(
    plan: LeaguePlan, finished: Mapping[Run, Record], digests: Mapping[str, str], *, command: str
) -> LeagueResults:
    """Return the content of ``results.json``.

    Args:
        plan: the plan.
        finished: records by run.
        digests: digests by name of the data set.
        command: command that repeats the measurement.
    """
    sets = list(dict.fromkeys(entry.of_set for entry in plan.entries))
    records = {run.key: record for run, record in finished.items()}.values()
    seconds = sum(record.costs.get("core_seconds") or 0.0 for record in records)
    return {
        "protocol": LeagueRun.PROTOCOL,
        "command": command,
        "quick": plan.quick,
        "runs": len(records),
        "core_hours": seconds / 3600,
        "sets": [_set_result(plan, each, finished, digests[each.data]) for each in sets],
        "versions": versions(),
    }


def user_values(
    plan: LeaguePlan, finished: Mapping[Run, Record]
) -> dict[str, dict[str, UserValues]]:
    """Return the headline metric of each user by set and row: the mean over the seeds."""
    by_set: dict[str, dict[str, UserValues]] = {}
    for entry, records in _complete(plan, plan.entries, finished):
        values = RowValues(records, is_seeded=entry.row.is_seeded)
        metric = entry.of_set.metric
        means = {metric: values.per_user(metric, values.seeds).astype(np.float32)}
        rows = by_set.setdefault(entry.of_set.name, {})
        rows[entry.row.name] = UserValues(values.users(), means)
    return by_set


def _set_result(
    plan: LeaguePlan, of_set: LeagueSet, finished: Mapping[Run, Record], digest: str
) -> SetResult:
    entries = [entry for entry in plan.entries if entry.of_set == of_set]
    rows: list[RowResult] = []
    values: dict[str, RowValues] = {}
    for entry, records in _complete(plan, entries, finished):
        values[entry.row.name] = RowValues(records, is_seeded=entry.row.is_seeded)
        rows.append(_row(plan, entry, finished, records, values[entry.row.name]))
    missing = {
        entry.row.name: _progress(plan, entry, finished)
        for entry in entries
        if entry.row.name not in values
    }
    baselines = [row for row in rows if row["is_baseline"]]
    best = max(baselines, key=lambda row: row["validation"], default=None)
    rivals = {"baseline": None if best is None else best["row"], "plain": of_set.plain}
    for row in rows:
        row["gains"] = {
            kind: values[row["row"]].difference(values[rival], of_set.metric)
            for kind, rival in rivals.items()
            if rival in values and rival != row["row"] and _comparable(values, row["row"], rival)
        }
    return {
        "name": of_set.name,
        "kind": of_set.kind,
        "data": of_set.data,
        "digest": digest,
        "description": describe(of_set) if rows else {},
        "metric": of_set.metric,
        "baseline": rivals["baseline"],
        "plain": of_set.plain,
        "rows": rows,
        "missing": missing,
    }


def _comparable(values: Mapping[str, RowValues], first: str, second: str) -> bool:
    return len(values[first].common_seeds(values[second])) > 1


def _complete(
    plan: LeaguePlan, entries: Sequence[Entry], finished: Mapping[Run, Record]
) -> Iterator[tuple[Entry, dict[int, Record]]]:
    """Yield the entries whose measured runs are all finished, with their records by seed."""
    for entry in entries:
        runs = plan.measured(entry, finished)
        records = {run.seed: finished[run] for run in runs if run in finished}
        if records and len(records) == len(runs) and not _failed(records):
            yield entry, records


def _failed(records: Mapping[int, Record]) -> bool:
    return any(record.diverged for record in records.values())


def _progress(plan: LeaguePlan, entry: Entry, finished: Mapping[Run, Record]) -> str:
    """Return why an entry has no figures."""
    runs = plan.measured(entry, finished)
    records = {run.seed: finished[run] for run in runs if run in finished}
    if _failed(records):
        return "a run diverged or exceeded its time"
    if runs:
        return f"{len(records)} of {len(runs)} seeds measured"
    done = sum(run in finished for run in plan.search(entry, finished).runs)
    return f"tuning, {done} trial runs finished" if done else "not started"


def _row(
    plan: LeaguePlan,
    entry: Entry,
    finished: Mapping[Run, Record],
    records: Mapping[int, Record],
    values: RowValues,
) -> RowResult:
    tuned, of_set = plan.search(entry, finished), entry.of_set
    assert tuned.best is not None
    return {
        "row": entry.row.name,
        "is_baseline": entry.row.is_baseline,
        "settings": dict(entry.settings(tuned.best)),
        "trials": tuned.trials,
        "edges": list(tuned.edges),
        "seeds": list(records),
        "validation": _mean(record.validation[of_set.metric] for record in records.values()),
        "per_seed": {
            metric: [_number(record.test[metric]) for record in records.values()]
            for metric in METRICS[of_set.kind]
        },
        "headline": values.mean(of_set.metric),
        "gains": {},
        "costs": {
            name: _mean(record.costs[name] for record in records.values())
            for name in next(iter(records.values())).costs
        },
        "use": entry.row.use,
        "avoid": entry.row.avoid,
    }


def _mean(values: Iterable[float | None]) -> float:
    return float(np.mean([_number(value) for value in values]))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
