"""Tuning: trials that select an arm's settings, and values beyond the edges of a grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import ArmSettings, Run, Setting
from recops_evidence.harness.run_store import Record

_LIMITS = {"dropout": 0.9}
"""Upper limits of settings in all arms; the lower limit is 0."""

MakeRun = Callable[[Arm, ArmSettings, int], Run]
"""Function that returns the n-th trial run of an arm's settings."""
Score = Callable[[Arm, Record], float]
"""Function that returns a trial's validation score; higher is better."""


@dataclass(frozen=True)
class Tuning:
    """State of the tuning of a claim's arms on a data set.

    Attributes:
        runs: trial runs of all arms that are needed so far.
        best: settings with the best mean by arm, the first among equals; empty while trials remain.
        grids: tried values by arm, including those beyond the first edges.
        edges: settings by arm whose best value is at an end of the grid.
        trials: number of trials of each arm with a grid.
    """

    runs: tuple[Run, ...]
    best: Mapping[str, ArmSettings]
    grids: Mapping[str, Mapping[str, Sequence[Setting]]]
    edges: Mapping[str, Sequence[str]]
    trials: int


def tuning(claim: Claim, make: MakeRun, score: Score, finished: Mapping[Run, Record]) -> Tuning:
    """Return the state of the tuning, as a function of the finished runs.

    If an arm's best value is at an end of its grid, every arm gets one more trial: its own best
    settings with the next value (:func:`beyond`) of the setting at the same position and end. This
    happens at most :attr:`Claim.widenings` times, and all arms keep the same number of trials. Arms
    without a grid have no trials.
    """
    trials = {arm.name: claim.trials(arm) for arm in claim.arms}
    grids = {
        arm.name: {name: list(values) for name, values in arm.grid.items()} for arm in claim.arms
    }
    tuned = [arm for arm in claim.arms if arm.grid]
    fixed = {arm.name: trials[arm.name][0] for arm in claim.arms if not arm.grid}
    number = max(len(some) for some in trials.values())
    if number == 1:
        return Tuning((), {name: first for name, (first,) in trials.items()}, grids, {}, 1)
    runs: dict[Run, None] = {}
    continued: dict[str, dict[ArmSettings, None]] = {arm.name: {} for arm in tuned}
    for widening in range(claim.widenings + 1):
        best = dict(fixed)
        for arm in tuned:
            needed, settings = _search(
                claim, arm, trials[arm.name], continued[arm.name], make, score, finished
            )
            runs |= dict.fromkeys(needed)
            if settings is not None:
                best[arm.name] = settings
        if len(best) < len(claim.arms):
            return Tuning(tuple(runs), {}, grids, {}, number)
        if widening == claim.widenings:
            break
        ends = {end for arm in tuned for end in _ends(arm, grids[arm.name], best[arm.name])}
        wider = [
            (index, high)
            for index, high in sorted(ends)
            if all(_next(arm, grids[arm.name], index, high) is not None for arm in tuned)
        ]
        if not wider:
            break
        number += len(wider)
        for arm in tuned:
            grid = grids[arm.name]
            for index, high in wider:
                name = list(grid)[index]
                value = _next(arm, grid, index, high)
                assert value is not None
                grid[name] = sorted([*grid[name], value])
                changed = {**dict(best[arm.name]), name: str(value)}
                trials[arm.name].append(tuple(sorted(changed.items())))
    edges = {
        arm.name: [
            list(grids[arm.name])[index] for index, _ in _ends(arm, grids[arm.name], best[arm.name])
        ]
        for arm in claim.arms
    }
    return Tuning(tuple(runs), best, grids, edges, number)


def beyond(
    name: str, values: Sequence[Setting], *, high: bool, limit: float | None = None
) -> Setting | None:
    """Return the next value beyond an end of ``values``, or None.

    The step repeats the last one: its ratio if both values are positive (rounded to two digits),
    else its difference. There is no next value if there are fewer than two numbers, if it would be
    negative (or 0 below positive values), or beyond ``limit`` or the limit of the setting.
    """
    numbers = sorted(
        value for value in values if isinstance(value, int | float) and not isinstance(value, bool)
    )
    if len(numbers) < max(2, len(values)):
        return None
    inner, end = numbers[-2:] if high else numbers[1::-1]
    value = float(f"{end * end / inner:.2g}") if min(inner, end) > 0 else 2.0 * end - inner
    if isinstance(end, int) and isinstance(inner, int):
        value = round(value)
    limit = _LIMITS.get(name.rpartition(".")[2]) if limit is None else limit
    if value < 0 or value == 0 < min(inner, end):  # Rounding of an integer can give 0.
        return None
    if value in numbers or (limit is not None and value > limit):
        return None
    return value


def _search(
    claim: Claim,
    arm: Arm,
    trials: Sequence[ArmSettings],
    continued: dict[ArmSettings, None],
    make: MakeRun,
    score: Score,
    finished: Mapping[Run, Record],
) -> tuple[list[Run], ArmSettings | None]:
    """Return the needed runs, and the best settings or None if runs remain.

    ``continued`` holds the settings that continued to all seeds before the grid grew; they still
    compete. The settings that continue now are added.
    """

    def runs_of(some: Sequence[ArmSettings], draws: range) -> list[Run]:
        return [make(arm, settings, draw) for settings in some for draw in draws]

    def by_score(some: Sequence[ArmSettings], draws: range) -> list[ArmSettings]:
        total = {
            settings: sum(score(arm, finished[run]) for run in runs_of([settings], draws))
            for settings in some
        }
        return sorted(some, key=lambda settings: -total[settings])

    first = range(1 if claim.halving else claim.tuning_seeds)
    needed = runs_of(trials, first)
    if any(run not in finished for run in needed):
        return needed, None
    ranked = by_score(trials, first)
    if not claim.halving:
        return needed, ranked[0]
    continued.update(dict.fromkeys(ranked[: claim.halving]))
    all_seeds = range(claim.tuning_seeds)
    needed += runs_of(list(continued), all_seeds)
    if any(run not in finished for run in needed):
        return needed, None
    return needed, by_score(list(continued), all_seeds)[0]


def _ends(
    arm: Arm, grid: Mapping[str, Sequence[Setting]], best: ArmSettings
) -> list[tuple[int, bool]]:
    """Return position and side of the settings whose best value is at an end that can grow."""
    ends = []
    for index, (name, values) in enumerate(grid.items()):
        for high in (False, True):
            if _next(arm, grid, index, high) is None:
                continue
            end = max(values, key=float) if high else min(values, key=float)
            if dict(best)[name] == str(end):
                ends.append((index, high))
    return ends


def _next(
    arm: Arm, grid: Mapping[str, Sequence[Setting]], index: int, high: bool
) -> Setting | None:
    """Return the next value beyond an end of an arm's grid, or None."""
    name, values = list(grid.items())[index]
    return beyond(name, values, high=high, limit=arm.limits.get(name))
