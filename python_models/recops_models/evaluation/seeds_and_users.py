"""Interval and test of a mean difference over seeds and users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from recops_models.evaluation.bootstrap import percentiles
from recops_models.evaluation.samples import require_level


@dataclass(frozen=True, eq=False)
class SeedsAndUsers:
    """Distribution of a mean difference under resampling of seeds and users.

    This is a hierarchical bootstrap. Users are drawn with replacement. Around the mean u_r of each
    draw r, the mean over seeds follows Student's distribution: ``X = u_r + e · t(S − 1)``, r
    uniform. Seeds are not drawn with replacement: with five seeds, this would underestimate their
    variance by a fifth and have no tails. The interaction of seeds and users is counted twice, so
    that the interval is conservative. Without users the result is Student's interval; without
    variance over seeds it is the percentile interval over users.

    Attributes:
        users: ``[R]``, mean difference over seeds in each draw of users; without users only the
            mean, R = 1.
        error: e, standard error over seeds, ≥ 0.
        seeds: S ≥ 2.
    """

    users: npt.NDArray[np.float64]
    error: float
    seeds: int

    @classmethod
    def of(
        cls, per_seed: npt.NDArray[np.floating], users: npt.NDArray[np.float64] | None = None
    ) -> SeedsAndUsers:
        """Return the distribution of the mean of ``per_seed [S]``.

        Args:
            per_seed: the difference with each seed, S ≥ 2.
            users: ``[R]``, the mean over seeds in each draw of users; None: no users.

        Raises:
            ValueError: there are fewer than two seeds or no draws, or a value is not finite.
        """
        per_seed = np.asarray(per_seed, dtype=np.float64)
        if per_seed.ndim != 1 or len(per_seed) < 2:
            raise ValueError(f"SeedsAndUsers: per_seed must be [S], S ≥ 2, got {per_seed.shape}")
        is_constant = np.ptp(per_seed) == 0  # Then the mean must not be rounded.
        mean = per_seed[0] if is_constant else per_seed.mean()
        drawn = np.array([mean]) if users is None else users
        if not len(drawn) or not (np.isfinite(per_seed).all() and np.isfinite(drawn).all()):
            raise ValueError("SeedsAndUsers: values must be finite, with at least one draw")
        spread = 0.0 if is_constant else float(per_seed.std(ddof=1))
        return cls(drawn, spread / len(per_seed) ** 0.5, len(per_seed))

    @property
    def users_error(self) -> float:
        """Standard error over users; 0 without users."""
        return float(self.users.std())

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the equal-tailed interval with coverage ``level``.

        Raises:
            ValueError: ``level`` is out of range.
        """
        require_level("SeedsAndUsers.interval", level)
        return self._quantile((1 - level) / 2), self._quantile((1 + level) / 2)

    def users_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the percentile interval over users alone: new users, these trained models.

        Without users both ends are the mean.

        Raises:
            ValueError: ``level`` is out of range.
        """
        require_level("SeedsAndUsers.users_interval", level)
        return percentiles(self.users, level)

    def p_value(self, threshold: float = 0.0) -> float:
        """Return the two-sided p-value of a true difference of ``threshold``."""
        return min(1.0, 2 * min(self.one_sided(threshold)))

    def one_sided(self, threshold: float) -> tuple[float, float]:
        """Return the p-values of a true difference of at most, and of at least, ``threshold``."""
        if self.error:
            below = float(self._student.cdf((threshold - self.users) / self.error).mean())
            return below, 1 - below
        # With R draws, the smallest one-sided p-value is 1 / (R + 1).
        count = len(self.users) if len(self.users) > 1 else 0
        at_most, at_least = np.sum(self.users <= threshold), np.sum(self.users >= threshold)
        smallest = count > 0
        return (
            float((at_most + smallest) / (count + 1)),
            float((at_least + smallest) / (count + 1)),
        )

    def _quantile(self, share: float) -> float:
        if not self.error:
            return float(np.quantile(self.users, share))
        reach = self.error * float(self._student.ppf(share))
        low, high = float(self.users.min()) + reach, float(self.users.max()) + reach

        def above(value: float) -> float:
            return float(self._student.cdf((value - self.users) / self.error).mean()) - share

        if above(low) >= 0 or above(high) <= 0:  # All draws are equal except for rounding.
            return low
        return float(optimize.brentq(above, low, high, xtol=1e-9 * (high - low)))

    @property
    def _student(self) -> stats.rv_continuous:
        return stats.t(self.seeds - 1)
