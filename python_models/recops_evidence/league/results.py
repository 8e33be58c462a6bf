"""Content of ``results.json`` of the league, as a function of the finished runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypedDict

import numpy as np

from recops_evidence.harness.experiment import Run
from recops_evidence.harness.run_store import Record
from recops_evidence.harness.user_values import UserValues
from recops_evidence.league.claims import claim_results
from recops_evidence.league.comparison import RowValues
from recops_evidence.league.description import describe
from recops_evidence.league.figures import (
    METRICS,
    NOT_STARTED,
    LeagueResults,
    RowResult,
    SetResult,
    VariantResult,
)
from recops_evidence.league.league_run import LeagueRun
from recops_evidence.league.papers import PAPERS
from recops_evidence.league.plan import Entry, LeaguePlan
from recops_evidence.league.sets import LeagueSet
from recops_models.versions import versions


class _Variants(TypedDict):
    variants: list[VariantResult]
    missing_variants: dict[str, list[str]]


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
    values = {each.name: _values(plan, _entries_of(plan, each), finished) for each in sets}
    metrics = {each.name: each.metric for each in sets}
    return {
        "protocol": LeagueRun.PROTOCOL,
        "command": command,
        "quick": plan.quick,
        "runs": len(records),
        "core_hours": seconds / 3600,
        "claims": claim_results(values, metrics),
        "papers": {
            paper: claim_results(values, metrics, claims) for paper, claims in PAPERS.items()
        },
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
    entries = _entries_of(plan, of_set)
    values = _values(plan, entries, finished)
    rows = [
        _row(plan, entry, finished, records, values[entry.row.name])
        for entry, records in _complete(plan, entries, finished)
    ]
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
        **_variants(plan, of_set, values, finished),
    }


def _variants(
    plan: LeaguePlan,
    of_set: LeagueSet,
    values: Mapping[str, RowValues],
    finished: Mapping[Run, Record],
) -> _Variants:
    """Return the variants of a set's finished rows, and the names of the others by page."""
    chosen = [variant for parent, variant in plan.variants if parent.of_set == of_set]
    tuned = [entry for parent, entry in plan.variant_entries(finished) if parent.of_set == of_set]
    results = [
        _variant(plan, entry, finished, records, values[entry.variant.of])
        for entry, records in _complete(plan, tuned, finished)
        if entry.variant is not None and entry.variant.of in values
    ]
    finished_names = {each["row"] for each in results}
    missing: dict[str, list[str]] = {}
    for variant in chosen:
        if variant.name not in finished_names:
            missing.setdefault(variant.paper, []).append(variant.name)
    return {"variants": results, "missing_variants": missing}


def _variant(
    plan: LeaguePlan,
    entry: Entry,
    finished: Mapping[Run, Record],
    records: Mapping[int, Record],
    of_row: RowValues,
) -> VariantResult:
    variant, of_set, tuned = entry.variant, entry.of_set, plan.search(entry, finished)
    assert variant is not None
    assert tuned.best is not None
    return {
        "paper": variant.paper,
        "of": variant.of,
        "row": variant.name,
        "text": variant.text,
        "settings": dict(entry.settings(tuned.best)),
        "trials": tuned.trials,
        "edges": list(tuned.edges),
        "seeds": list(records),
        "per_seed": _per_seed(records, of_set),
        "difference": of_row.difference(RowValues(records, is_seeded=True), of_set.metric),
    }


def _per_seed(records: Mapping[int, Record], of_set: LeagueSet) -> dict[str, list[float]]:
    return {
        metric: [_number(record.test[metric]) for record in records.values()]
        for metric in METRICS[of_set.kind]
    }


def _entries_of(plan: LeaguePlan, of_set: LeagueSet) -> list[Entry]:
    return [entry for entry in plan.entries if entry.of_set == of_set]


def _values(
    plan: LeaguePlan, entries: Sequence[Entry], finished: Mapping[Run, Record]
) -> dict[str, RowValues]:
    """Return the test values of the finished rows by name."""
    return {
        entry.row.name: RowValues(records, is_seeded=entry.row.is_seeded)
        for entry, records in _complete(plan, entries, finished)
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
    if records or (runs and entry.row.grid):
        return f"{len(records)} of {len(runs)} seeds measured"
    trials = sum(run in finished for run in plan.search(entry, finished).runs)
    return f"tuning, finished trials: {trials}" if trials else NOT_STARTED


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
        "is_seeded": entry.row.is_seeded,
        "settings": dict(entry.settings(tuned.best)),
        "trials": tuned.trials,
        "edges": list(tuned.edges),
        "timed_seconds": plan.timed_seconds(entry, tuned.best, finished) or 0.0,
        "seeds": list(records),
        "validation": _mean(record.validation[of_set.metric] for record in records.values()),
        "per_seed": _per_seed(records, of_set),
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
