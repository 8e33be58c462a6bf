"""Tables of the daily loop: quality by slice, cost, and differences with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recops_evidence.daily_loop.loop import ARMS, LoopStep
from recops_models.evaluation.comparison import compare

FIRST_UPDATE = 2
"""First slice whose models differ between arms."""


def tables(steps: Sequence[LoopStep], metrics: Sequence[str]) -> str:
    """Return the Markdown tables of a loop.

    Args:
        steps: results of all arms, seeds and slices.
        metrics: names of the metrics to show.
    """
    days = sorted({step.day for step in steps})
    lines = [
        f"| arm | {' | '.join(metrics)} | CPU seconds of an update | epochs of an update |",
        f"| --- |{' --- |' * (len(metrics) + 2)}",
    ]
    for arm in ARMS:
        mine = [step for step in steps if step.arm == arm and step.day >= FIRST_UPDATE]
        cells = [f"{np.mean([step.result.metrics[name] for step in mine]):.4f}" for name in metrics]
        cost, epochs = (
            0.0 if arm == "stale" else float(np.mean(values))
            for values in ([s.cpu_seconds for s in mine], [s.epochs for s in mine])
        )
        lines.append(f"| {arm} | {' | '.join(cells)} | {cost:,.1f} | {epochs:.1f} |")
    lines += ["", *_differences(steps), ""]
    lines.append("| slice | new items | new users |" + "".join(f" {arm} |" for arm in ARMS))
    lines.append("| --- | --- | --- |" + " --- |" * len(ARMS))
    for day in days:
        of_day = [step for step in steps if step.day == day]
        shares = f"{of_day[0].result.new_items:.1%} | {of_day[0].result.new_users:.1%}"
        cells = [
            f"{np.mean([s.result.metrics[metrics[0]] for s in of_day if s.arm == arm]):.4f}"
            for arm in ARMS
        ]
        lines.append(f"| {day + 1} | {shares} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _differences(steps: Sequence[LoopStep]) -> list[str]:
    """Return a table of differences per user, with intervals over seeds and users."""
    lines = [
        "| difference per user | mean | 95 % interval, seeds and users | 95 % interval, users "
        "| detectable |",
        "| --- | --- | --- | --- | --- |",
    ]
    users = _common_users(steps)
    values = {arm: _values(steps, arm, users) for arm in ARMS}
    if len(values["full"]) < 2:
        return ["Intervals need two seeds or more."]
    for first, second in (("continued", "full"), ("continued", "stale"), ("full", "stale")):
        result = compare(values[first], values[second])
        intervals = (result.interval, result.users_interval)
        both, of_users = (f"{low:+.4f} to {high:+.4f}" for low, high in intervals)
        lines.append(
            f"| {first} − {second} | {result.difference:+.4f} | {both} | {of_users} "
            f"| {result.detectable:.4f} |"
        )
    return lines


def _common_users(steps: Sequence[LoopStep]) -> list[str]:
    """Return the users that every arm and seed has a value of, after the first update."""
    users: dict[tuple[str, int], set[str]] = {}
    for step in steps:
        if step.day >= FIRST_UPDATE:
            users.setdefault((step.arm, step.seed), set()).update(step.result.values)
    return sorted(set.intersection(*users.values()))


def _values(steps: Sequence[LoopStep], arm: str, users: Sequence[str]) -> NDArray[np.float64]:
    """Return the mean value ``[S, U]`` of each user over the slices after the first update."""
    mine = [step for step in steps if step.arm == arm and step.day >= FIRST_UPDATE]
    rows = []
    for seed in sorted({step.seed for step in mine}):
        of_seed = [step.result.values for step in mine if step.seed == seed]
        rows.append(
            [np.mean([values[user] for values in of_seed if user in values]) for user in users]
        )
    return np.array(rows)


def as_json(steps: Sequence[LoopStep]) -> list[dict[str, object]]:
    """Return the steps as JSON values, without the values of users."""
    return [
        {
            "arm": step.arm,
            "seed": step.seed,
            "slice": step.day + 1,
            "cpu_seconds": round(step.cpu_seconds, 2),
            "epochs": step.epochs,
            "new_items": round(step.result.new_items, 4),
            "new_users": round(step.result.new_users, 4),
            "metrics": {name: round(value, 5) for name, value in step.result.metrics.items()},
        }
        for step in steps
    ]
