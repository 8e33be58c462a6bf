"""How far another draw of users could move a figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from recops_models.evaluation.samples import require_level, require_paired
from recops_models.evaluation.weighted_auc import WeightedAuc, WeightedGauc

Statistic: TypeAlias = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""``[R]`` from ``[R, U]``, how often each user is there in R draws."""

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
    """The percentile interval of ``mean(first − second)`` over users drawn with replacement.

    Both arrays hold one number for each of the same users, so that what makes a user easy or hard
    for both models cancels (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, §13.3).
    O(users · resamples) time, or of differences that take V values alone O(V · resamples); O(users)
    memory.

    Args:
        first: ``[U]``, a metric's value for each user, U ≥ 1.
        second: ``[U]``, the other model's.
        level: the interval's coverage, within (0, 1).
        resamples: how many times the users are drawn.
        seed: of the draws; equal seeds give equal intervals.

    Raises:
        ValueError: the shapes differ or are empty, or ``level`` is out of range.
    """
    require_paired("paired_bootstrap", first, second, 1)
    require_level("paired_bootstrap", level)
    difference = np.asarray(first, dtype=np.float64) - second
    return percentiles(draw_means(difference, resamples=resamples, seed=seed), level)


def draw_means(
    values: npt.NDArray[np.float64], *, resamples: int = 10_000, seed: int = 0
) -> npt.NDArray[np.float64]:
    """``[resamples]``: the means of ``values [U]`` over users drawn with replacement."""
    rng = np.random.default_rng(seed)
    sign = -1.0 if values.mean() < 0 else 1.0  # Of −values, the same draws.
    distinct, counts = np.unique(sign * values, return_counts=True)
    if len(distinct) <= _FEW_VALUES:  # Hits, say: it is enough to draw how many users have each.
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
    """The percentile interval of a difference in AUC or gAUC over users drawn with replacement.

    A user's examples come and go together, since they are not independent of each other; both
    models meet the same users in every draw. "auc" ranks all examples of the drawn users against
    each other: O(N log N + resamples · N). "gauc" is the impression-weighted mean of the users'
    own: O(N log N + resamples · U). Draws in which the metric is not defined are left out.

    Args:
        first: ``[N]``, a model's score of each example, higher for a likelier click.
        second: ``[N]``, the other model's scores of the same examples.
        label: ``[N]``, whether it was clicked.
        user: ``[N]``, whose example it is.
        metric: "auc" or "gauc".
        level: the interval's coverage, within (0, 1).
        resamples: how many times the users are drawn.
        seed: of the draws; equal seeds give equal intervals.

    Raises:
        ValueError: the shapes differ or are empty, a score is NaN, the metric is unknown or not
            defined on the examples, or ``level`` is out of range.
    """
    name = "bootstrap_auc_difference"
    if not first.shape == second.shape == label.shape == user.shape or first.ndim != 1:
        raise ValueError(f"{name}: first, second, label and user must be four equal [N]")
    if metric not in ("auc", "gauc"):
        raise ValueError(f"{name}: metric must be 'auc' or 'gauc', got {metric!r}")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError(f"{name}: scores hold NaN")
    require_level(name, level)
    users, user = np.unique(user, return_inverse=True)
    weighted = WeightedGauc if metric == "gauc" else WeightedAuc
    ours, theirs = (weighted(scores, label.astype(bool), user) for scores in (first, second))
    if not len(users) or np.isnan(ours(np.ones((1, len(users))))).any():
        raise ValueError(f"{name}: {metric} is not defined: no user, or none with both labels")
    drawn = draw_users(
        lambda times: ours(times) - theirs(times),
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
    """``[resamples]``: ``statistic`` over users drawn with replacement.

    Args:
        statistic: of draws.
        users: how many there are.
        numbers: how many the statistic keeps in memory for one draw; it is given few draws at once
            where these are many.
        resamples: how many times the users are drawn.
        seed: of the draws; equal seeds give equal draws.
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
    """The percentile interval of what a bootstrap drew."""
    low, high = np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _block(numbers: int) -> int:
    """How many draws at once, where each keeps so many numbers in memory."""
    return max(1, min(_BLOCK, _BLOCK_NUMBERS // max(numbers, 1)))


def _blocks(total: int, block: int) -> list[int]:
    return [min(block, total - start) for start in range(0, total, block)]
