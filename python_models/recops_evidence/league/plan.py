"""Plan of the runs of a league, as a function of the finished runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from recops_evidence.harness.experiment import AnyExperiment, ArmSettings, Run
from recops_evidence.harness.plan import TUNING_SEED
from recops_evidence.harness.run_store import Record
from recops_evidence.league.row import LeagueRow
from recops_evidence.league.search import FULL, Effort, TrialSearch, search
from recops_evidence.league.sets import LeagueSet
from recops_evidence.league.variants import Variant, rates_around

LONG_RUNS = ((600.0, 3), (120.0, 5))
"""Core-seconds of a run above which a row has only so many seeds."""
MOST_SEEDS = 10
"""Number of seeds of a row whose runs are short."""
VARIANT_SEEDS = 5
"""Largest number of seeds of a variant."""
_SHORTENED = (2, 0.5)
"""Tuning seeds and share of the users of a row's shortened trials."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A row on a set.

    Attributes:
        of_set: the set.
        row: the row.
        experiment: measures its runs.
        variant: the variant that the row is; None: a row of the table.
        source: the entry whose best settings this row takes; see :attr:`LeagueRow.tuned_as` and
            :attr:`LeagueRow.tuned_on`.
    """

    of_set: LeagueSet
    row: LeagueRow
    experiment: AnyExperiment
    variant: Variant | None = None
    source: Entry | None = None

    @property
    def tuning_seeds(self) -> int:
        """Number of seeds of a trial that continues."""
        if not self.row.is_seeded:
            return 1
        seeds = self.of_set.tuning_seeds
        return min(_SHORTENED[0], seeds) if self._is_shortened else seeds

    @property
    def tuning_share(self) -> float:
        """Share of the users on which trials run."""
        share = self.of_set.tuning_share
        return min(_SHORTENED[1], share) if self._is_shortened else share

    @property
    def _is_shortened(self) -> bool:
        return self.of_set.name in self.row.shortened

    def settings(self, chosen: ArmSettings) -> ArmSettings:
        """Return all settings of a run, sorted by name."""
        of_set = {name: str(value) for name, value in self.of_set.settings.items()}
        return tuple(sorted({**of_set, **self.row.fixed(self.of_set.name), **dict(chosen)}.items()))


@dataclass(frozen=True, eq=False)
class LeaguePlan:
    """Runs of the league.

    Attributes:
        entries: rows on sets, in the order of measurement.
        effort: number of trials of a row.
        most_seeds: number of measured runs of a row whose runs are short.
        quick: whether runs are small.
        variants: variants, which are measured last, by the entry of their row.
    """

    entries: Sequence[Entry]
    effort: Effort = FULL
    most_seeds: int = MOST_SEEDS
    quick: bool = False
    variants: Sequence[tuple[Entry, Variant]] = ()

    def variant_entries(self, finished: Mapping[Run, Record]) -> list[tuple[Entry, Entry]]:
        """Return the variants whose row is tuned, each with the entry of its row."""
        return [
            (parent, self._variant_entry(parent, variant, best))
            for parent, variant in self.variants
            if (best := self.search(parent, finished).best) is not None
        ]

    def _variant_entry(self, parent: Entry, variant: Variant, best: ArmSettings) -> Entry:
        row = variant.row(parent.row, best)
        return Entry(parent.of_set, row, parent.experiment, variant)

    def search(self, entry: Entry, finished: Mapping[Run, Record]) -> TrialSearch:
        """Return the state of the tuning of an entry; no trial measures test."""
        shared: ArmSettings = ()
        if entry.source is not None:
            best = self.search(entry.source, finished).best
            if best is None:
                return TrialSearch((), None, {})
            shared = _of_grid(best, entry.row)

        def make(chosen: ArmSettings, draw: int) -> Run:
            settings = _merged(shared, chosen)
            return self._run(entry, settings, TUNING_SEED + draw, entry.tuning_share)

        def score(record: Record) -> float:
            value = record.validation.get(entry.of_set.metric)
            return -math.inf if record.diverged or value is None else value

        row, effort, seeds = entry.row, self.effort, entry.tuning_seeds
        if shared:
            own = {name: values for name, values in row.grid.items() if name not in dict(shared)}
            row = replace(row, grid={**rates_around(shared), **own}, tuned_as=None)
        if shared or entry.variant is not None:
            effort, seeds = effort.of_rates(), 1
        tuned = search(row, effort, seeds, make, score, finished)
        return replace(tuned, best=tuned.best and _merged(shared, tuned.best))

    def measured(
        self, entry: Entry, finished: Mapping[Run, Record], tuned: TrialSearch | None = None
    ) -> list[Run]:
        """Return the measured runs of an entry, one per seed; empty before it is tuned.

        Rows have ten seeds; five if a run exceeds two core-minutes, three if it exceeds ten. The
        time is that of the first trial of the chosen settings, divided by its share of the users.
        Variants have at most five.
        """
        tuned = tuned or self.search(entry, finished)
        if tuned.best is None:
            return []
        first = self._run(entry, tuned.best, 0)
        seconds = self.timed_seconds(entry, tuned.best, finished)
        if not entry.row.is_seeded or seconds is None:
            return [first]
        most = self.most_seeds if entry.variant is None else min(VARIANT_SEEDS, self.most_seeds)
        seeds = next((few for above, few in LONG_RUNS if seconds > above), most)
        return [self._run(entry, tuned.best, seed) for seed in range(min(seeds, most))]

    def timed_seconds(
        self, entry: Entry, best: ArmSettings, finished: Mapping[Run, Record]
    ) -> float | None:
        """Return the core-seconds that set the number of seeds of the best settings.

        They are those of the first trial, or without a grid of the first run; None: not finished.
        """
        trial = self._run(entry, best, TUNING_SEED, entry.tuning_share)
        record = finished.get(trial) or finished.get(self._run(entry, best, 0))
        if record is None:
            return None
        share = trial.share if trial in finished else 1.0
        return (record.costs["core_seconds"] or 0.0) / share

    def _run(self, entry: Entry, chosen: ArmSettings, seed: int, share: float | None = None) -> Run:
        """Return a trial with a ``share`` of the users, or a measured run on all of them."""
        return Run(
            entry.experiment,
            entry.row.model,
            entry.of_set.data,
            entry.settings(chosen),
            seed,
            share is None,
            self.quick,
            1.0 if share is None else share,
        )

    def ahead(self, finished: Mapping[Run, Record]) -> list[Run]:
        """Return the runs that are known to be needed and are not finished, in order.

        Their results decide which further runs are needed.
        """
        return list(dict.fromkeys(run for run in self._needed(finished) if run not in finished))

    def ready(self, finished: Mapping[Run, Record]) -> list[Run]:
        """Return the runs of :meth:`ahead`; none of them waits for another one."""
        return self.ahead(finished)

    def _needed(self, finished: Mapping[Run, Record]) -> Iterator[Run]:
        variants = [entry for _, entry in self.variant_entries(finished)]
        for entry in (*self.entries, *variants):
            tuned = self.search(entry, finished)
            yield from tuned.runs
            yield from self.measured(entry, finished, tuned)


def _of_grid(best: ArmSettings, row: LeagueRow) -> ArmSettings:
    """Return the settings that a row takes from another one: all, or those in its grid."""
    return tuple((name, value) for name, value in best if not row.grid or name in row.grid)


def _merged(settings: ArmSettings, changes: ArmSettings) -> ArmSettings:
    return tuple(sorted({**dict(settings), **dict(changes)}.items()))
