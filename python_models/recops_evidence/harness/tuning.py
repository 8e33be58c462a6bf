"""Which trials tell an arm's best settings, and what is tried beyond the edges of a grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import ArmSettings, Run, Setting
from recops_evidence.harness.run_store import Record

_LIMITS = {"dropout": 0.9}
"""Beyond which a setting is not tried; nothing is below 0."""

MakeRun = Callable[[Arm, ArmSettings, int], Run]
"""A trial of an arm's settings, the n-th draw."""
Worth = Callable[[Arm, Record], float]
"""What a trial reached on validation, higher for better."""


@dataclass(frozen=True)
class Tuning:
    """How far the tuning of a claim's arms on a data set has come.

    Attributes:
        runs: the trials that are asked for so far, of all arms.
        best: by arm, the settings of the best mean, the first among equals; empty while trials
            are to be done.
        grids: by arm, the values that were tried, those beyond its first edges among them.
        edges: by arm, the settings whose best value is still the last one at its end.
        trials: of each arm that has a grid.
    """

    runs: tuple[Run, ...]
    best: Mapping[str, ArmSettings]
    grids: Mapping[str, Mapping[str, Sequence[Setting]]]
    edges: Mapping[str, Sequence[str]]
    trials: int


def tuning(claim: Claim, make: MakeRun, worth: Worth, done: Mapping[Run, Record]) -> Tuning:
    """The tuning of ``claim``'s arms, as a function of the runs that are ``done``.

    Where an arm's best value is the first or the last of its grid, all arms get one trial more, at
    the same place of their grids and the same end: their own best settings with the next value
    there, see :func:`beyond`; :attr:`Claim.widenings` times at most. Budgets stay equal. Arms
    without a grid are not tried: there is nothing to choose.
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
    kept: dict[str, dict[ArmSettings, None]] = {arm.name: {} for arm in tuned}
    for widening in range(claim.widenings + 1):
        best = dict(fixed)
        for arm in tuned:
            asked, found = _search(claim, arm, trials[arm.name], kept[arm.name], make, worth, done)
            runs |= dict.fromkeys(asked)
            if found is not None:
                best[arm.name] = found
        if len(best) < len(claim.arms):
            return Tuning(tuple(runs), {}, grids, {}, number)
        if widening == claim.widenings:
            break
        ends = {end for arm in tuned for end in _ends(arm, grids[arm.name], best[arm.name])}
        wider = [
            (place, high)
            for place, high in sorted(ends)
            if all(_next(arm, grids[arm.name], place, high) is not None for arm in tuned)
        ]
        if not wider:
            break
        number += len(wider)
        for arm in tuned:
            grid = grids[arm.name]
            for place, high in wider:
                name = list(grid)[place]
                value = _next(arm, grid, place, high)
                assert value is not None
                grid[name] = sorted([*grid[name], value])
                changed = {**dict(best[arm.name]), name: str(value)}
                trials[arm.name].append(tuple(sorted(changed.items())))
    edges = {
        arm.name: [
            list(grids[arm.name])[place] for place, _ in _ends(arm, grids[arm.name], best[arm.name])
        ]
        for arm in claim.arms
    }
    return Tuning(tuple(runs), best, grids, edges, number)


def beyond(
    name: str, values: Sequence[Setting], *, high: bool, limit: float | None = None
) -> Setting | None:
    """The next value beyond an end of ``values``: as far as the last step, in ratio where both are
    above 0 (to two digits), else in difference.

    None where there is none: fewer than two numbers, below 0 (0 where all are above it), beyond
    ``limit`` or that which the setting has in any arm.
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
    if value < 0 or value == 0 < min(inner, end):  # A whole number may be rounded to 0.
        return None
    if value in numbers or (limit is not None and value > limit):
        return None
    return value


def _search(
    claim: Claim,
    arm: Arm,
    trials: Sequence[ArmSettings],
    kept: dict[ArmSettings, None],
    make: MakeRun,
    worth: Worth,
    done: Mapping[Run, Record],
) -> tuple[list[Run], ArmSettings | None]:
    """The runs that are asked for so far, and the best settings once all of them are done.

    ``kept`` are those that went on to all seeds before the grid grew: they still compete. Those
    that go on now are added.
    """

    def runs_of(some: Sequence[ArmSettings], draws: range) -> list[Run]:
        return [make(arm, settings, draw) for settings in some for draw in draws]

    def by_worth(some: Sequence[ArmSettings], draws: range) -> list[ArmSettings]:
        total = {
            settings: sum(worth(arm, done[run]) for run in runs_of([settings], draws))
            for settings in some
        }
        return sorted(some, key=lambda settings: -total[settings])

    first = range(1 if claim.halving else claim.tuning_seeds)
    asked = runs_of(trials, first)
    if any(run not in done for run in asked):
        return asked, None
    ranked = by_worth(trials, first)
    if not claim.halving:
        return asked, ranked[0]
    kept.update(dict.fromkeys(ranked[: claim.halving]))
    again = runs_of(list(kept), range(claim.tuning_seeds))
    if any(run not in done for run in again):
        return [*asked, *again], None
    return [*asked, *again], by_worth(list(kept), range(claim.tuning_seeds))[0]


def _ends(
    arm: Arm, grid: Mapping[str, Sequence[Setting]], best: ArmSettings
) -> list[tuple[int, bool]]:
    """The places of a grid where the best value stands at an end beyond which there is more."""
    found = []
    for place, (name, values) in enumerate(grid.items()):
        for high in (False, True):
            if _next(arm, grid, place, high) is None:
                continue
            end = max(values, key=float) if high else min(values, key=float)
            if dict(best)[name] == str(end):
                found.append((place, high))
    return found


def _next(
    arm: Arm, grid: Mapping[str, Sequence[Setting]], place: int, high: bool
) -> Setting | None:
    """What lies beyond that end of an arm's grid."""
    name, values = list(grid.items())[place]
    return beyond(name, values, high=high, limit=arm.limits.get(name))
