"""How far chance alone could move a figure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BLOCK = 256


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
    O(users · resamples) time, O(users) memory.

    Args:
        first: ``[U]``, a metric's value for each user, U ≥ 1.
        second: ``[U]``, the other model's.
        level: the interval's coverage, within (0, 1).
        resamples: how many times the users are drawn.
        seed: of the draws; equal seeds give equal intervals.

    Raises:
        ValueError: the shapes differ or are empty, or ``level`` is out of range.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"paired_bootstrap: two equal, non-empty [U] are due, got {first.shape} and "
            f"{second.shape}"
        )
    if not 0 < level < 1:
        raise ValueError(f"paired_bootstrap: level must lie within (0, 1), got {level}")
    difference = np.asarray(first, dtype=np.float64) - second
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            difference[rng.integers(len(difference), size=(size, len(difference)))].mean(axis=1)
            for size in _blocks(resamples)
        ]
    )
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _blocks(total: int) -> list[int]:
    return [min(_BLOCK, total - start) for start in range(0, total, _BLOCK)]
