"""A ratio of sums with multiplicities of users, for a bootstrap over users."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class WeightedRatio:
    """``Σ above / Σ below``, in which each user's rows count with the user's multiplicity.

    With ``below`` = 1 it is the mean of ``above``. O(U) per draw.

    Args:
        above: ``[N]``, terms of the numerator.
        below: ``[N]``, terms of the denominator.
        user: ``[N]``, index of the user, below ``users``.
        users: U, number of users; some may have no rows.
    """

    def __init__(
        self,
        above: npt.NDArray[np.floating],
        below: npt.NDArray[np.floating],
        user: npt.NDArray[np.int64],
        users: int,
    ) -> None:
        self.above, self.below = (np.bincount(user, each, users) for each in (above, below))

    def __call__(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return values ``[R]`` for multiplicities ``times [R, U]``; NaN if ``Σ below`` is 0."""
        with np.errstate(invalid="ignore"):
            value: npt.NDArray[np.float64] = (times @ self.above) / (times @ self.below)
        return value
