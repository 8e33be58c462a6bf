"""Bootstrap over users: intervals of paired differences and of AUC differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from recops_models.evaluation.samples import require_level, require_paired
from recops_models.evaluation.weighted_auc import WeightedAuc, WeightedGauc

Statistic: TypeAlias = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""Maps the multiplicity of each user in R draws, ``[R, U]``, to values ``[R]``."""

_BLOCK = 256
_BLOCK_NUMBERS = 1 << 22
_FEW_VALUES = 64


def paired_bootstrap(
    first: npt.NDArray[np.floating],
    second: npt.NDArray[np.floating],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of ``mean(first − second)`` over users.

    Users are drawn with replacement. Both arrays have one value per user, so the difficulty of a
    user for both models cancels (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    §13.3). O(users · resamples) time, or O(V · resamples) if differences have few distinct values
    V; O(users) memory.

    Args:
        first: ``[U]``, a metric of one model for each user, U ≥ 1.
        second: ``[U]``, the metric of the other model.
        level: coverage of the interval, in (0, 1).
        resamples: number of bootstrap draws.
        seed: seed of the draws.

    Raises:
        ValueError: the shapes differ or are empty, or ``level`` is out of range.

    Example:
        >>> import numpy as np
        >>> hits = np.array([1.0, 0.0, 1.0, 1.0])
        >>> paired_bootstrap(hits, hits)
        (0.0, 0.0)
    """
    require_paired("paired_bootstrap", first, second, 1)
    require_level("paired_bootstrap", level)
    difference = np.asarray(first, dtype=np.float64) - second
    return percentiles(draw_means(difference, resamples=resamples, seed=seed), level)


def draw_means(
    values: npt.NDArray[np.float64], *, resamples: int = 10_000, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return the means ``[resamples]`` of ``values [U]`` over users drawn with replacement."""
    rng = np.random.default_rng(seed)
    sign = -1.0 if values.mean() < 0 else 1.0  # Makes the draws for −values the same.
    distinct, counts = np.unique(sign * values, return_counts=True)
    if len(distinct) <= _FEW_VALUES:  # With few distinct values, such as hits, draw their counts.
        drawn = rng.multinomial(len(values), counts / len(values), size=resamples)
        means: npt.NDArray[np.float64] = drawn @ (sign * distinct) / len(values)
        return means
    return np.concatenate(
        [
            values[rng.integers(len(values), size=(size, len(values)))].mean(axis=1)
            for size in _blocks(resamples, _block(len(values)))
        ]
    )


def bootstrap_auc_difference(
    first: npt.NDArray[np.floating],
    second: npt.NDArray[np.floating],
    label: npt.NDArray[np.bool_],
    user: npt.NDArray[np.int64],
    *,
    metric: Literal["auc", "gauc"] = "auc",
    level: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of a difference in AUC or gAUC over users.

    Users are drawn with replacement, together with all of their examples, which are not
    independent. Both models are evaluated on the same draws. "auc" compares all examples of the
    drawn users: O(N log N + resamples · N). "gauc" is the mean AUC of the users, weighted by
    impressions: O(N log N + resamples · U). Draws without a defined metric are left out.

    Args:
        first: ``[N]``, scores of one model, higher for a likelier click.
        second: ``[N]``, scores of the other model.
        label: ``[N]``, whether the example was clicked.
        user: ``[N]``, user of each example.
        metric: "auc" or "gauc".
        level: coverage of the interval, in (0, 1).
        resamples: number of bootstrap draws.
        seed: seed of the draws.

    Raises:
        ValueError: the shapes differ or are empty, a score is NaN, the metric is unknown or not
            defined on the examples, or ``level`` is out of range.
    """
    name = "bootstrap_auc_difference"
    if not first.shape == second.shape == label.shape == user.shape or first.ndim != 1:
        raise ValueError(f"{name}: first, second, label and user must have the same shape [N]")
    if metric not in ("auc", "gauc"):
        raise ValueError(f"{name}: metric must be 'auc' or 'gauc', got {metric!r}")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError(f"{name}: scores must not be NaN")
    require_level(name, level)
    users, user = np.unique(user, return_inverse=True)
    weighted = WeightedGauc if metric == "gauc" else WeightedAuc
    minuend, subtrahend = (weighted(scores, label.astype(bool), user) for scores in (first, second))
    if not len(users) or np.isnan(minuend(np.ones((1, len(users))))).any():
        raise ValueError(f"{name}: {metric} is not defined: no user, or none with both labels")
    drawn = draw_users(
        lambda times: minuend(times) - subtrahend(times),
        len(users),
        numbers=len(label),
        resamples=resamples,
        seed=seed,
    )
    return percentiles(drawn[~np.isnan(drawn)], level)


def draw_users(
    statistic: Statistic,
    users: int,
    *,
    numbers: int,
    resamples: int = 1_000,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """Return ``statistic [resamples]`` over users drawn with replacement.

    Args:
        statistic: the statistic.
        users: number of users.
        numbers: count of numbers that the statistic holds in memory per draw; it limits the draws
            per call.
        resamples: number of bootstrap draws.
        seed: seed of the draws.
    """
    rng = np.random.default_rng(seed)
    share = np.full(users, 1 / users)
    return np.concatenate(
        [
            statistic(rng.multinomial(users, share, size=size).astype(np.float64))
            for size in _blocks(resamples, _block(numbers))
        ]
    )


def percentiles(drawn: npt.NDArray[np.float64], level: float) -> tuple[float, float]:
    """Return the percentile interval of bootstrap draws."""
    low, high = np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _block(numbers: int) -> int:
    """Return the draws per call, if each draw holds ``numbers`` numbers in memory."""
    return max(1, min(_BLOCK, _BLOCK_NUMBERS // max(numbers, 1)))


def _blocks(total: int, block: int) -> list[int]:
    return [min(block, total - start) for start in range(0, total, block)]
