"""Statistical power: minimum detectable difference, and number of seeds to detect a difference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from recops_models.evaluation.samples import require_level

_SPREADS = 100
"""Number of equally likely values of the observed standard deviation over seeds."""
_USERS = np.linspace(-6.0, 6.0, 121)
_WEIGHTS = np.exp(-(_USERS**2) / 2) / np.exp(-(_USERS**2) / 2).sum()
"""Quadrature of the normal distribution of the mean over users."""


def smallest_difference(
    spread: float, seeds: int, users_error: float = 0.0, *, level: float = 0.95, power: float = 0.8
) -> float:
    """Return the smallest true difference that a two-sided test detects with probability ``power``.

    The test is that of :class:`~recops_models.evaluation.seeds_and_users.SeedsAndUsers`. It rejects
    means beyond the quantile ``q(ê)`` of ``N(0, u²) + ê · t(S − 1)``, with ê the observed standard
    error over S seeds. For a true difference δ, the mean has the distribution ``N(δ, e² + u²)``,
    ``e = s / √S``, and ``ê² = e² χ²(S − 1) / (S − 1)``. The result is the δ for which the
    probability of a mean beyond q(ê), averaged over ê, is ``power``.

    Args:
        spread: s, standard deviation of the difference over seeds.
        seeds: S ≥ 2.
        users_error: u, standard error of the mean over users.
        level: 1 − α, in (0, 1).
        power: power of the test, in (0, 1).

    Raises:
        ValueError: an argument is out of range.
    """
    require_errors("smallest_difference", spread, seeds, users_error)
    require_level("smallest_difference", level)
    require_level("smallest_difference", power)
    error = float(np.hypot(spread / seeds**0.5, users_error))
    if not error:
        return 0.0
    critical = critical_means(spread, seeds, users_error, (1 + level) / 2)

    def missing_power(difference: float) -> float:
        return power - float(special.ndtr((difference - critical) / error).mean())

    return float(optimize.brentq(missing_power, 0.0, critical.max() + 10 * error))


def require_errors(call: str, spread: float, seeds: int, users_error: float) -> None:
    """Check the number of seeds and the errors over seeds and users.

    Raises:
        ValueError: ``seeds`` < 2, or an error is negative. The message starts with ``call``.
    """
    if seeds < 2 or spread < 0 or users_error < 0:
        raise ValueError(
            f"{call}: seeds must be ≥ 2, spread and users_error ≥ 0, "
            f"got {seeds}, {spread} and {users_error}"
        )


def critical_means(
    spread: float, seeds: int, users_error: float, share: float
) -> npt.NDArray[np.float64]:
    """Return the quantile ``share`` of ``N(0, u²) + ê · t(S − 1)`` for equally likely values of ê.

    Args:
        spread: s, standard deviation over seeds; ``ê² = s² / S · χ²(S − 1) / (S − 1)``.
        seeds: S ≥ 2.
        users_error: u, standard error of the mean over users.
        share: in (0, 1).
    """
    shares = (np.arange(_SPREADS) + 0.5) / _SPREADS
    observed = spread * np.sqrt(stats.chi2.ppf(shares, seeds - 1) / (seeds - 1) / seeds)
    return _critical(observed, users_error, seeds - 1, share)


def _critical(
    observed: npt.NDArray[np.float64], users_error: float, freedom: int, share: float
) -> npt.NDArray[np.float64]:
    """Return the quantile ``share`` of ``N(0, u²) + ê · t(freedom)`` for each ê of ``observed``."""
    if not observed.any():
        return np.full(len(observed), users_error * float(special.ndtri(share)))
    reach = observed * float(special.stdtrit(freedom, share))
    low, high = reach, reach + users_error * _USERS[-1]  # The t quantile is a lower bound.
    for _ in range(40):
        middle = (low + high) / 2
        beyond = (middle[:, None] - users_error * _USERS) / observed[:, None]
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
    """Return the smallest number of seeds whose :func:`smallest_difference` is ≤ ``distance``.

    None if ``most`` seeds are not enough, for example because of the error over users.
    """

    def is_enough(seeds: int) -> bool:
        difference = smallest_difference(spread, seeds, users_error, level=level, power=power)
        return difference <= distance

    if not distance or not is_enough(most):
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
