"""A ratio of sums where each user counts so many times, as in a bootstrap over users."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class WeightedRatio:
    """``Σ above / Σ below`` over rows, with each user's rows counted so many times: the mean of
    ``above`` where ``below`` is 1. O(U) for each draw of users.
    """

    def __init__(
        self,
        above: npt.NDArray[np.floating],
        below: npt.NDArray[np.floating],
        user: npt.NDArray[np.int64],
        users: int,
    ) -> None:
        """All but ``users`` are ``[N]``; ``user`` is < ``users``, and some may have none."""
        self.above, self.below = (np.bincount(user, each, users) for each in (above, below))

    def __call__(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """``[R]`` from ``[R, U]``: how often each user is there; NaN where ``Σ below`` is 0."""
        with np.errstate(invalid="ignore"):
            value: npt.NDArray[np.float64] = (times @ self.above) / (times @ self.below)
        return value
