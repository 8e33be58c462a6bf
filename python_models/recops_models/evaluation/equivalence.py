"""Equivalence of two models: two one-sided tests, and the smallest margin they can decide."""

from __future__ import annotations

import numpy as np
from scipy import optimize, special

from recops_models.evaluation.power import critical_means, require_errors
from recops_models.evaluation.samples import require_level
from recops_models.evaluation.seeds_and_users import SeedsAndUsers


def equivalence_p_value(difference: SeedsAndUsers, margin: float) -> float:
    """Return the p-value of two one-sided tests that a difference lies within ±``margin``.

    The tests are those of δ ≤ −m and of δ ≥ m; the result is the larger p-value. Below α, the
    interval with coverage 1 − 2α lies within ±m.

    Source: Schuirmann, A Comparison of the Two One-Sided Tests Procedure and the Power Approach,
    1987.

    Args:
        difference: distribution of the difference.
        margin: m > 0. Choose it before the measurement; see :func:`smallest_margin`.

    Raises:
        ValueError: ``margin`` is not above 0.

    Example:
        >>> import numpy as np
        >>> from recops_models.evaluation.equivalence import equivalence_p_value
        >>> from recops_models.evaluation.seeds_and_users import SeedsAndUsers
        >>> difference = SeedsAndUsers.of(np.array([0.001, -0.002, 0.001]))
        >>> equivalence_p_value(difference, margin=0.01) < 0.05
        True
    """
    if not margin > 0:
        raise ValueError(f"equivalence_p_value: margin must be > 0, got {margin}")
    return max(difference.one_sided(-margin)[0], difference.one_sided(margin)[1])


def smallest_margin(
    spread: float, seeds: int, users_error: float = 0.0, *, level: float = 0.95, power: float = 0.8
) -> float:
    """Return the smallest margin within which equal models are shown equivalent.

    :func:`equivalence_p_value` is below ``1 − level`` with probability ``power`` if the true
    difference is 0. The test rejects if ``|mean| < m − q(ê)``, with the observed standard error ê
    and its quantile q as in :func:`~recops_models.evaluation.power.smallest_difference`.

    Args:
        spread: s, standard deviation of the difference over seeds.
        seeds: S ≥ 2.
        users_error: u, standard error of the mean over users.
        level: 1 − α, in (0, 1).
        power: power of the test, in (0, 1).

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> from recops_models.evaluation.equivalence import smallest_margin
        >>> round(smallest_margin(spread=0.0, seeds=5, users_error=0.1), 4)  # 0.1 · (1.645 + 1.282)
        0.2926
    """
    require_errors("smallest_margin", spread, seeds, users_error)
    require_level("smallest_margin", level)
    require_level("smallest_margin", power)
    error = float(np.hypot(spread / seeds**0.5, users_error))
    if not error:
        return 0.0
    critical = critical_means(spread, seeds, users_error, level)

    def missing_power(margin: float) -> float:
        room = np.maximum(margin - critical, 0.0)
        return power - float((2 * special.ndtr(room / error) - 1).mean())

    return float(optimize.brentq(missing_power, 0.0, critical.max() + 10 * error))
