"""Means of a row and differences of two rows, with intervals over seeds and users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from recops_evidence.harness.run_store import Record
from recops_models.evaluation.bootstrap import draw_means
from recops_models.evaluation.comparison import Comparison

RESAMPLES = 10_000


class Mean(TypedDict):
    """Mean over seeds of a metric or of a difference.

    Attributes:
        mean: over all seeds.
        seeds: number of seeds.
        interval: 95 % over seeds and users (:class:`Comparison`).
        users: 95 % over users alone: how these trained models differ.
        p: two-sided p-value of a difference of 0; None for a metric.
        detectable: minimum detectable difference at 80 % power; None for a metric.
    """

    mean: float
    seeds: int
    interval: tuple[float, float]
    users: tuple[float, float]
    p: float | None
    detectable: float | None


class RowValues:
    """Test values of a row: one value per seed, and the mean over seeds per user.

    Args:
        records: measured runs by seed; a row that needs no seed has only seed 0.
        is_seeded: whether the figures depend on the seed.
    """

    def __init__(self, records: Mapping[int, Record], *, is_seeded: bool) -> None:
        self._records, self._is_seeded = dict(records), is_seeded

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the measured runs."""
        return tuple(self._records)

    def per_seed(self, metric: str, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Return the metric under ``seeds``; a row that needs no seed repeats its value."""
        return np.array([self._record(seed).test[metric] for seed in seeds], dtype=np.float64)

    def per_user(self, metric: str, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Return the mean over ``seeds`` of the value of each user, ``[U]``."""
        values = []
        for seed in dict.fromkeys(self._record_seed(seed) for seed in seeds):
            users = self._records[seed].users
            assert users is not None
            values.append(users.values[metric].astype(np.float64))
        return np.asarray(np.mean(values, axis=0))

    def users(self) -> str:
        """Return the digest of the users."""
        users = next(iter(self._records.values())).users
        assert users is not None
        return users.users

    def common_seeds(self, other: RowValues) -> tuple[int, ...]:
        """Return the seeds under which both rows are measured; two if neither needs a seed."""
        if self._is_seeded and other._is_seeded:
            return tuple(seed for seed in self.seeds if seed in other.seeds)
        if self._is_seeded or other._is_seeded:
            return self.seeds if self._is_seeded else other.seeds
        return (0, 1)

    def mean(self, metric: str) -> Mean:
        """Return the mean of a metric with its intervals."""
        seeds = self.seeds if len(self.seeds) > 1 else (self.seeds[0],) * 2
        return _summary(self.per_seed(metric, seeds), self.per_user(metric, seeds), tested=False)

    def difference(self, other: RowValues, metric: str) -> Mean:
        """Return the mean difference of this row and ``other`` under their common seeds.

        Raises:
            ValueError: the rows were tested on different users, or have fewer than two common
                seeds.
        """
        if self.users() != other.users():
            raise ValueError("difference: both rows must be tested on the same users")
        seeds = self.common_seeds(other)
        if len(seeds) < 2:
            raise ValueError(f"difference: two common seeds are needed, got {len(seeds)}")
        per_seed = self.per_seed(metric, seeds) - other.per_seed(metric, seeds)
        per_user = self.per_user(metric, seeds) - other.per_user(metric, seeds)
        return _summary(per_seed, per_user, tested=True)

    def _record(self, seed: int) -> Record:
        return self._records[self._record_seed(seed)]

    def _record_seed(self, seed: int) -> int:
        return seed if self._is_seeded else self.seeds[0]


def _summary(per_seed: NDArray[np.float64], per_user: NDArray[np.float64], *, tested: bool) -> Mean:
    # Stored values per user are rounded; their mean is replaced by the exact one.
    drawn = draw_means(per_user, resamples=RESAMPLES) - per_user.mean() + per_seed.mean()
    result = Comparison.of(per_seed, drawn)
    return {
        "mean": result.difference,
        "seeds": len(per_seed),
        "interval": result.interval,
        "users": result.users_interval,
        "p": result.p_value if tested else None,
        "detectable": result.detectable if tested else None,
    }
