"""What difference so many seeds and users could see, and how many seeds would see another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from recops_models.evaluation.samples import require_level

_SPREADS = 100
"""Values that the standard deviation of the seeds at hand may have, alike in probability."""
_USERS = np.linspace(-6.0, 6.0, 121)
_WEIGHTS = np.exp(-(_USERS**2) / 2) / np.exp(-(_USERS**2) / 2).sum()
"""Steps through the normal law of the mean over users."""


def smallest_difference(
    spread: float, seeds: int, users_error: float = 0.0, *, level: float = 0.95, power: float = 0.8
) -> float:
    """The least true difference that a two-sided test sees with probability ``power``.

    The test is that of :class:`~recops_models.evaluation.seeds_and_users.SeedsAndUsers`: it sees
    what lies beyond the quantile ``q(ê)`` of ``N(0, u²) + ê · t(S − 1)``, ê the standard error over
    the S seeds at hand. About a true δ the mean has the law ``N(δ, e² + u²)``, ``e = s / √S``, and
    ``ê² = e² χ²(S − 1) / (S − 1)``; the answer is the δ for which the mean over ê of the
    probability of that mean beyond q(ê) is ``power``.

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
    of_seeds = spread / seeds**0.5
    error = float(np.hypot(of_seeds, users_error))
    if not error:
        return 0.0
    shares = (np.arange(_SPREADS) + 0.5) / _SPREADS
    found = of_seeds * np.sqrt(stats.chi2.ppf(shares, seeds - 1) / (seeds - 1))
    critical = _critical(found, users_error, seeds - 1, (1 + level) / 2)

    def short(difference: float) -> float:
        return power - float(special.ndtr((difference - critical) / error).mean())

    return float(optimize.brentq(short, 0.0, critical.max() + 10 * error))


def _critical(
    found: npt.NDArray[np.float64], users_error: float, freedom: int, share: float
) -> npt.NDArray[np.float64]:
    """The quantile ``share`` of ``N(0, u²) + found · t(freedom)``, for each of ``found``."""
    if not found.any():
        return np.full(len(found), users_error * float(special.ndtri(share)))
    reach = found * float(special.stdtrit(freedom, share))
    low, high = reach, reach + users_error * _USERS[-1]  # It is wider than Student's law alone.
    for _ in range(40):
        middle = (low + high) / 2
        beyond = (middle[:, None] - users_error * _USERS) / found[:, None]
        below = special.stdtr(freedom, beyond) @ _WEIGHTS < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)


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
