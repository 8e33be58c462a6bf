"""Evenness of a distribution over codes or paths."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

TOP = (0.01, 0.05, 0.1)
"""Shares of the fullest paths for :func:`held_by_top`."""


class Spread(TypedDict):
    """Result of :func:`spread`."""

    entropy: float
    perplexity: float
    entropy_ratio: float
    gini: float
    capacity: float


class CodeUsage(Spread):
    """Result of :func:`usage`."""

    codes: int
    active: int
    coverage: float
    dead_codes: int
    usage: list[float]


def spread(weights: NDArray[np.number], size: float) -> Spread:
    """Return measures of the evenness of π = weights / Σ weights.

    Args:
        weights: ``[n]``, ≥ 0, not all zero.
        size: number of possible outcomes, at least the number of positive weights.

    Returns:
        ``entropy`` H(π) = −Σ π ln π; ``perplexity`` exp(H), the number of equally likely outcomes
        with the same entropy; ``entropy_ratio`` H / ln size (1 if size is 1); ``gini`` over the n
        weights, 0 if all are equal; ``capacity`` 1/Σπ² (the inverse Simpson index), the number of
        equally likely outcomes with the same chance that two draws coincide.
    """
    share = weights / weights.sum()
    used = share[share > 0]
    entropy = max(0.0, float(-(used * np.log(used)).sum()))
    ranks = np.arange(1, len(share) + 1)
    gini = float((2 * ranks - len(share) - 1) @ np.sort(share)) / len(share)
    return {
        "entropy": entropy,
        "perplexity": float(np.exp(entropy)),
        "entropy_ratio": entropy / float(np.log(size)) if size > 1 else 1.0,
        "gini": max(0.0, gini),
        "capacity": float(1 / (share**2).sum()),
    }


def usage(
    codes: NDArray[np.integer], size: int, weights: NDArray[np.float64] | None = None
) -> CodeUsage:
    """Return how the codes of one level are used.

    Args:
        codes: ``[N]``.
        size: K.
        weights: ``[N]``, weight of each item; None: 1.

    Returns:
        ``codes`` K, ``active`` (codes in use), ``coverage`` active / K, ``dead_codes`` K − active,
        ``usage`` (weight per code), and the measures of :func:`spread`.
    """
    loads = np.bincount(codes, weights=weights, minlength=size)
    active = int((loads > 0).sum())
    return {
        "codes": size,
        "active": active,
        "coverage": active / size,
        "dead_codes": size - active,
        **spread(loads, size),
        "usage": loads.tolist(),
    }


def held_by_top(loads: NDArray[np.number]) -> dict[str, float]:
    """Return the share of the load on the fullest 1, 5 and 10 % of the paths in use, rounded up."""
    fullest = np.sort(loads)[::-1]
    held = np.cumsum(fullest) / fullest.sum()
    return {f"{top:.0%}": float(held[int(np.ceil(top * len(held))) - 1]) for top in TOP}
