"""How far another draw of seeds and of users could move a difference, taken together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from recops_models.evaluation.samples import require_level


@dataclass(frozen=True, eq=False)
class SeedsAndUsers:
    """The law of a mean difference under another draw of seeds and of users.

    A hierarchical bootstrap: users are drawn with replacement, and around what each draw gives the
    mean over seeds follows Student's law, ``X = u_r + e · t(S − 1)``, r uniform. Seeds are not
    drawn with replacement: of five, that would leave out a fifth of their variance and all of
    Student's tails. What seeds and users do together is counted with both, so that the interval is
    rather too wide than too narrow. Without users it is Student's interval; without spread over
    seeds the percentile interval over users.

    Attributes:
        users: ``[R]``, the mean difference over seeds in each draw of users; the mean itself, R =
            1, where there are no users.
        error: e, the standard error over seeds, ≥ 0.
        seeds: S ≥ 2.
    """

    users: npt.NDArray[np.float64]
    error: float
    seeds: int

    @classmethod
    def of(
        cls, per_seed: npt.NDArray[np.floating], users: npt.NDArray[np.float64] | None = None
    ) -> SeedsAndUsers:
        """The law of the mean of ``per_seed [S]``.

        Args:
            per_seed: the difference under each seed, S ≥ 2.
            users: ``[R]``, its mean over seeds in each draw of users; None: there are none.

        Raises:
            ValueError: fewer than two seeds, no draw, or a figure that is not finite.
        """
        per_seed = np.asarray(per_seed, dtype=np.float64)
        if per_seed.ndim != 1 or len(per_seed) < 2:
            raise ValueError(f"SeedsAndUsers: per_seed must be [S], S ≥ 2, got {per_seed.shape}")
        same = np.ptp(per_seed) == 0  # Then the mean is that number, without rounding.
        mean = per_seed[0] if same else per_seed.mean()
        drawn = np.array([mean]) if users is None else users
        if not len(drawn) or not (np.isfinite(per_seed).all() and np.isfinite(drawn).all()):
            raise ValueError("SeedsAndUsers: figures must be finite, and draws one or more")
        spread = 0.0 if same else float(per_seed.std(ddof=1))
        return cls(drawn, spread / len(per_seed) ** 0.5, len(per_seed))

    @property
    def users_error(self) -> float:
        """The standard error over users; 0 where there are none."""
        return float(self.users.std())

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The two quantiles that hold ``level`` of the law between them, and half of the rest on
        either side.

        Raises:
            ValueError: ``level`` is out of range.
        """
        require_level("SeedsAndUsers.interval", level)
        return self._quantile((1 - level) / 2), self._quantile((1 + level) / 2)

    def p_value(self, threshold: float = 0.0) -> float:
        """Two-sided, of a mean difference of ``threshold``: twice the mass beyond it."""
        if self.error:
            below = float(self._student.cdf((threshold - self.users) / self.error).mean())
            return min(1.0, 2 * min(below, 1 - below))
        # Draws alone: none of R draws beyond says no more than 1 / (R + 1).
        count = len(self.users) if len(self.users) > 1 else 0
        beyond = min(np.sum(self.users <= threshold), np.sum(self.users >= threshold))
        return float(min(1.0, 2 * (beyond + (count > 0)) / (count + 1)))

    def _quantile(self, share: float) -> float:
        if not self.error:
            return float(np.quantile(self.users, share))
        reach = self.error * float(self._student.ppf(share))
        low, high = float(self.users.min()) + reach, float(self.users.max()) + reach

        def above(value: float) -> float:
            return float(self._student.cdf((value - self.users) / self.error).mean()) - share

        if above(low) >= 0 or above(high) <= 0:  # Draws that are one but for rounding.
            return low
        return float(optimize.brentq(above, low, high, xtol=1e-9 * (high - low)))

    @property
    def _student(self) -> stats.rv_continuous:
        return stats.t(self.seeds - 1)
