"""Measurement of the league: from sets and rows to ``results.json``."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from recops_evidence.harness.experiment import Run
from recops_evidence.harness.run_store import Record, RunStore
from recops_evidence.harness.runner import look_up, run_ahead
from recops_evidence.league.click_league import ClickLeague
from recops_evidence.league.click_rows import CLICK_ROWS
from recops_evidence.league.figures import LeagueResults
from recops_evidence.league.league_run import LeagueRun
from recops_evidence.league.plan import Entry, LeaguePlan
from recops_evidence.league.ranking_league import RankingLeague
from recops_evidence.league.ranking_rows import RANKING_ROWS
from recops_evidence.league.results import league_results, user_values
from recops_evidence.league.row import LeagueRow
from recops_evidence.league.search import Effort
from recops_evidence.league.sets import SETS, Kind, LeagueSet, chosen_sets
from recops_evidence.league.stored import write_league
from recops_evidence.league.variants import VARIANTS
from recops_models.callbacks import Callbacks
from recops_models.data import DataError, load
from recops_models.data.digest import dataset_digest
from recops_models.data.sets import NAMED_SETS
from recops_models.training.device import HOST, auto_device

LEAGUE = "league"

_ROWS: Mapping[Kind, tuple[LeagueRow, ...]] = {"clicks": CLICK_ROWS, "ranking": RANKING_ROWS}
_EXPERIMENTS: Mapping[Kind, LeagueRun] = {"clicks": ClickLeague(), "ranking": RankingLeague()}
_QUICK = Effort(trials=2, continued=1, widenings=0)


def league_plan(
    sets: Sequence[LeagueSet], models: Sequence[str] = (), *, quick: bool = False
) -> LeaguePlan:
    """Return the plan of rows on sets.

    Args:
        sets: the sets, in the order of measurement.
        models: names of rows and variants; rows on which they depend are measured too; empty: all.
        quick: two trials and two seeds of small runs.

    Raises:
        ValueError: an unknown row.
    """
    variants = [variant for variant in VARIANTS if not models or variant.name in models]
    known = {row.name for rows in _ROWS.values() for row in rows}
    known |= {variant.name for variant in VARIANTS}
    for name in models:
        if name not in known:
            raise ValueError(f"league: models must be among {sorted(known)}, got {name!r}")
    names = {*models, *(variant.of for variant in variants)} if models else known
    entries = _entries({each.name for each in sets}, names)
    parents = {(entry.of_set.name, entry.row.name): entry for entry in entries}
    by_parent = [
        (parents[variant.of_set, variant.of], variant)
        for variant in variants
        if (variant.of_set, variant.of) in parents
    ]
    if quick:
        return LeaguePlan(entries, _QUICK, most_seeds=2, quick=True, variants=by_parent)
    return LeaguePlan(entries, variants=by_parent)


def _entries(of_sets: Collection[str], names: Collection[str]) -> list[Entry]:
    """Return the named rows on sets, and the entries whose settings they take."""
    plain = {
        (each.name, row.name): Entry(each, row, _EXPERIMENTS[each.kind])
        for each in SETS
        for row in _ROWS[each.kind]
        if row.sets is None or each.data in row.sets
    }
    chosen: dict[tuple[str, str], Entry] = {}

    def add(of_set: str, name: str) -> Entry:
        entry = plain[of_set, name]
        row = entry.row
        if of_set in row.tuned_on:
            entry = replace(entry, source=add(*row.tuned_on[of_set]))
        elif row.tuned_as is not None:
            entry = replace(entry, source=add(of_set, row.tuned_as))
        return chosen.setdefault((of_set, name), entry)

    for of_set, name in plain:
        if of_set in of_sets and name in names:
            add(of_set, name)
    return [chosen[key] for key in plain if key in chosen]


def reproduce_league(
    out: Path,
    *,
    command: str,
    sets: Sequence[str] = (),
    models: Sequence[str] = (),
    hours: float | None = None,
    quick: bool = False,
    resume: bool = False,
    jobs: int = 1,
    callbacks: Callbacks,
) -> LeagueResults:
    """Measure the league and write ``results.json`` and the values per user to ``out``.

    Runs use the CPU, one thread each. Results are also written when time is over or Ctrl-C stops
    the league, from the runs that are finished.

    Args:
        out: a new or empty folder, or that of an earlier measurement.
        command: command that repeats the measurement; it is recorded.
        sets: names of sets or data sets; empty: all that are available.
        models: names of rows; empty: all.
        hours: no run starts after this time; None: no limit.
        quick: small runs, which are no evidence.
        resume: keep the finished runs in ``out``.
        jobs: number of runs at the same time.
        callbacks: receive every run as a stage, its progress, and messages.

    Raises:
        ValueError: an unknown set or row, or ``out`` holds other files.
        DataError: none of the sets is available.
        KeyboardInterrupt: passed on, after the results are written.
    """
    if jobs < 1:
        raise ValueError(f"reproduce: jobs must be 1 or more, got {jobs}")
    every = chosen_sets(tuple(sets))
    chosen = [each for each in every if NAMED_SETS[each.data].available() != "set RECOPS_DATA"]
    if not chosen:
        raise DataError(f"set RECOPS_DATA to the folder that holds {every[0].data}")
    plan = league_plan(chosen, models, quick=quick)
    store = RunStore(out, LEAGUE, resume=resume)
    data = dict.fromkeys(entry.of_set.data for entry in plan.entries)
    digests = {name: dataset_digest(load(name)) for name in data}
    store.begin(digests)
    if store.dropped is not None:
        callbacks.log_message(store.dropped)
    try:
        with auto_device(HOST):
            run_ahead(plan, store, callbacks, jobs=jobs, hours=math.inf if hours is None else hours)
    finally:
        finished: dict[Run, Record] = {}
        look_up(plan, store, finished)
        results = league_results(plan, finished, digests, command=command)
        write_league(out, results, user_values(plan, finished))
    return results
