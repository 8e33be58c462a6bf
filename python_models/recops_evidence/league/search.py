"""Tuning of one row of the league on one set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from recops_evidence.harness.experiment import ArmSettings, Run, Setting
from recops_evidence.harness.run_store import Record
from recops_evidence.harness.tuning import beyond
from recops_evidence.league.row import LeagueRow

MakeTrial = Callable[[ArmSettings, int], Run]
"""Function that returns the trial run of settings under the n-th tuning seed."""
TrialScore = Callable[[Record], float]
"""Function that returns a trial's validation score; higher is better."""


@dataclass(frozen=True)
class Effort:
    """Number of trials of every row.

    Attributes:
        trials: combinations of the grid, under one seed each.
        continued: best combinations that continue under all tuning seeds.
        widenings: maximum number of trials beyond edges.
    """

    trials: int = 8
    continued: int = 2
    widenings: int = 8

    def of_rates(self) -> Effort:
        """Return the smaller effort of a row that tunes only its learning rate."""
        return Effort(min(3, self.trials), 1, min(4, self.widenings))


FULL = Effort()


@dataclass(frozen=True)
class TrialSearch:
    """State of a row's tuning.

    Attributes:
        runs: trial runs that are needed so far.
        best: settings with the best mean score over all tuning seeds; None while trials remain.
        grid: tried values by setting, with those beyond the first edges.
        edges: settings whose best value lies at an edge that could still grow.
        trials: number of tried combinations.
    """

    runs: tuple[Run, ...]
    best: ArmSettings | None
    grid: Mapping[str, Sequence[Setting]]
    edges: tuple[str, ...] = ()
    trials: int = 0


def search(
    row: LeagueRow,
    effort: Effort,
    seeds: int,
    make: MakeTrial,
    score: TrialScore,
    finished: Mapping[Run, Record],
) -> TrialSearch:
    """Return the state of the tuning, as a function of the finished runs.

    All combinations of :meth:`Row.draw` run under the first seed. The best ones continue under all
    seeds. While the best value of a setting lies at an edge of its grid, the next value beyond it
    (:func:`~recops_evidence.harness.tuning.beyond`) is tried with the best values of the others. It
    continues under all seeds if it is better than the best settings under the first one.

    Args:
        row: the row.
        effort: number of trials.
        seeds: number of tuning seeds.
        make: returns a trial.
        score: returns the score of a finished trial; −inf for a failed one.
        finished: records by run.
    """
    grid = {name: list(values) for name, values in row.grid.items()}
    drawn = row.draw(effort.trials)
    if not row.grid:
        return TrialSearch((), drawn[0], grid, trials=0)
    needed: dict[Run, None] = {}

    def mean_score(settings: ArmSettings, draws: int) -> float | None:
        """Return the mean score, or None if a run remains."""
        runs = [make(settings, draw) for draw in range(draws)]
        needed.update(dict.fromkeys(runs))
        if any(run not in finished for run in runs):
            return None
        return sum(score(finished[run]) for run in runs) / draws

    first = {settings: mean_score(settings, 1) for settings in drawn}
    complete = {settings: value for settings, value in first.items() if value is not None}
    if len(complete) < len(drawn):
        return TrialSearch(tuple(needed), None, grid, trials=len(drawn))
    ranked = sorted(drawn, key=lambda settings: -complete[settings])
    candidates = ranked[: effort.continued]
    for widening in range(effort.widenings + 1):
        scores = {settings: mean_score(settings, seeds) for settings in candidates}
        final = {settings: value for settings, value in scores.items() if value is not None}
        trials = len(drawn) + widening
        if len(final) < len(candidates):
            return TrialSearch(tuple(needed), None, grid, trials=trials)
        best = max(candidates, key=lambda settings: final[settings])
        edges = _edges(row, grid, best)
        if not edges or widening == effort.widenings:
            return TrialSearch(tuple(needed), best, grid, tuple(edges), trials)
        name, value = next(iter(edges.items()))
        grid[name] = sorted([*grid[name], value], key=float)
        wider: ArmSettings = tuple(sorted({**dict(best), name: str(value)}.items()))
        first_score, level = mean_score(wider, 1), mean_score(best, 1)
        if first_score is None or level is None:
            return TrialSearch(tuple(needed), None, grid, trials=trials + 1)
        if first_score > level:
            candidates.append(wider)
    raise AssertionError("the loop returns")


def _edges(
    row: LeagueRow, grid: Mapping[str, list[Setting]], best: ArmSettings
) -> dict[str, Setting]:
    """Return the next value of each setting whose best value lies at an edge that can grow."""
    edges: dict[str, Setting] = {}
    for name, values in grid.items():
        for high in (False, True):
            value = beyond(name, values, high=high, limit=row.limits.get(name))
            if value is None:
                continue
            end = (max if high else min)(values, key=float)
            if dict(best)[name] == str(end):
                edges[name] = value
    return edges
