"""Comparison of two models over seeds and users: intervals, p-value and detectable difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recops_models.evaluation.bootstrap import draw_means
from recops_models.evaluation.power import smallest_difference
from recops_models.evaluation.seeds_and_users import SeedsAndUsers


@dataclass(frozen=True)
class Comparison:
    """Difference of a metric between two models.

    Attributes:
        difference: mean over seeds and users.
        interval: for new seeds and new users; see
            :class:`~recops_models.evaluation.seeds_and_users.SeedsAndUsers`.
        users_interval: for new users of these trained models.
        p_value: two-sided, of a true difference of 0 for new seeds and new users.
        detectable: smallest true difference that the test detects with a probability of 80 %.

    Example:
        >>> import numpy as np
        >>> from recops_models.evaluation.comparison import Comparison
        >>> result = Comparison.of(np.array([0.1, 0.2, 0.3]))  # the difference with each seed
        >>> round(result.difference, 3), result.p_value > 0.05
        (0.2, True)
    """

    difference: float
    interval: tuple[float, float]
    users_interval: tuple[float, float]
    p_value: float
    detectable: float

    @classmethod
    def of(
        cls,
        per_seed: npt.NDArray[np.floating],
        users: npt.NDArray[np.float64] | None = None,
        *,
        level: float = 0.95,
    ) -> Comparison:
        """Return the comparison of differences per seed, and of draws of users.

        Args:
            per_seed: ``[S]``, the difference with each seed, S ≥ 2.
            users: ``[R]``, the mean over seeds in each draw of users, as from
                :func:`~recops_models.evaluation.bootstrap.draw_means`; None: no users.
            level: coverage of the intervals; the test of ``detectable`` has size 1 − ``level``.

        Raises:
            ValueError: see :meth:`SeedsAndUsers.of`, or ``level`` is out of range.
        """
        law = SeedsAndUsers.of(per_seed, users)
        spread = law.error * law.seeds**0.5
        return cls(
            difference=float(per_seed.mean()),
            interval=law.interval(level),
            users_interval=law.users_interval(level),
            p_value=law.p_value(),
            detectable=smallest_difference(spread, law.seeds, law.users_error, level=level),
        )


def compare(
    first: npt.NDArray[np.floating],
    second: npt.NDArray[np.floating],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two models by a metric that is a mean over users, such as HR@10 and NDCG@10.

    The users are the same for both models and all seeds. Seeds are independent trainings. The
    difference is ``first − second``.

    Args:
        first: ``[S, U]``, the metric of each user with each seed of one model, S ≥ 2.
        second: ``[S, U]``, the metric of the other model.
        level: coverage of the intervals, in (0, 1).
        resamples: number of bootstrap draws of users.
        seed: seed of the draws.

    Complexity:
        O(S · U + resamples · U) time.

    Raises:
        ValueError: the shapes differ or are not ``[S, U]`` with S ≥ 2 and U ≥ 1, a value is not
            finite, or ``level`` is out of range.

    Example:
        >>> import numpy as np
        >>> from recops_models.evaluation.comparison import compare
        >>> hits = np.array([[1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 1.0]])  # two seeds, four users
        >>> compare(hits, np.zeros((2, 4))).difference
        0.625
    """
    if first.shape != second.shape or first.ndim != 2 or len(first) < 2 or not first.shape[1]:
        raise ValueError(
            "compare: first and second must have the same shape [S, U] with S ≥ 2 and U ≥ 1, "
            f"got {list(first.shape)} and {list(second.shape)}"
        )
    cells = np.asarray(first, dtype=np.float64) - second
    if not np.isfinite(cells).all():
        raise ValueError("compare: first and second must be finite")
    drawn = draw_means(cells.mean(0), resamples=resamples, seed=seed)
    return Comparison.of(cells.mean(1), drawn, level=level)
