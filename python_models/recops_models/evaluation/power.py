"""What difference so many seeds and users could see, and how many seeds would see another."""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats

from recops_models.evaluation.samples import require_level

_NORMAL = 1e4
"""Degrees of freedom from which Student's law is the normal one."""


def smallest_difference(
    spread: float, seeds: int, users_error: float = 0.0, *, level: float = 0.95, power: float = 0.8
) -> float:
    """The least true difference that a two-sided test sees with probability ``power``.

    The mean of S paired seeds has the variance ``e² = s² / S + u²``, with Satterthwaite's
    ``ν = (S − 1) (e² / (s² / S))²`` degrees of freedom; the answer is the δ for which a noncentral
    t of ν and δ / e lies beyond the critical value of Student's t with probability ``power``.

    Args:
        spread: s, the standard deviation of the difference over seeds.
        seeds: S ≥ 2.
        users_error: u, the standard error of the mean over users.
        level: 1 − α, within (0, 1).
        power: within (0, 1).

    Raises:
        ValueError: one is out of range.
    """
    require_level("smallest_difference", level)
    require_level("smallest_difference", power)
    if seeds < 2 or spread < 0 or users_error < 0:
        raise ValueError(
            "smallest_difference: seeds must be ≥ 2, spread and users_error ≥ 0, "
            f"got {seeds}, {spread} and {users_error}"
        )
    of_seeds = spread**2 / seeds
    error = float(np.sqrt(of_seeds + users_error**2))
    if not error:
        return 0.0
    freedom = (seeds - 1) * (error**2 / of_seeds) ** 2 if of_seeds else np.inf
    if freedom >= _NORMAL:
        return error * float(stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power))
    critical = float(stats.t(freedom).ppf((1 + level) / 2))

    def short(shift: float) -> float:
        return power - float(stats.nct.sf(critical, freedom, shift))

    return error * float(optimize.brentq(short, 0.0, 4 * critical + 10))


def seeds_to_settle(
    distance: float,
    spread: float,
    users_error: float = 0.0,
    *,
    level: float = 0.95,
    power: float = 0.8,
    most: int = 1000,
) -> int | None:
    """The fewest seeds whose :func:`smallest_difference` is ``distance`` or less; None where
    ``most`` are not enough, as where users alone leave more open.
    """

    def enough(seeds: int) -> bool:
        found = smallest_difference(spread, seeds, users_error, level=level, power=power)
        return found <= distance

    if not distance or not enough(most):
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
