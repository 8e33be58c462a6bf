"""How evenly something is spread: figures of a distribution over codes or over paths."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

TOP = (0.01, 0.05, 0.1)
"""The fullest parts of the paths whose share is taken."""


class Spread(TypedDict):
    """What :func:`spread` gives."""

    entropy: float
    perplexity: float
    entropy_ratio: float
    gini: float
    capacity: float


class CodeUsage(Spread):
    """What :func:`usage` gives of one level."""

    codes: int
    active: int
    coverage: float
    dead_codes: int
    usage: list[float]


def spread(weights: NDArray[np.number], size: float) -> Spread:
    """Figures of π = weights / Σ weights.

    Args:
        weights: ``[n]``, ≥ 0, not all zero.
        size: how many places there are to spread over, ≥ the number of weights that are not zero.

    Returns:
        ``entropy`` H(π) = −Σ π ln π; ``perplexity`` exp(H), the number of equally used places of
        the same entropy; ``entropy_ratio`` H / ln size (1 where size is 1); ``gini`` over the n
        weights, 0 where all are equal; ``capacity`` 1/Σπ², the number of equally used places on
        which two draws meet as often (the inverse Simpson index).
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
    """Figures of one level's codes.

    Args:
        codes: ``[N]``.
        size: K.
        weights: ``[N]``, what each item counts; None: one.

    Returns:
        ``codes`` K, ``active`` (codes in use), ``coverage`` active / K, ``dead_codes`` K − active,
        ``usage`` (the weight on every code), and those of :func:`spread`.
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
    """The share of all weight on the fullest 1, 5 and 10 % of the places in use, rounded up."""
    fullest = np.sort(loads)[::-1]
    held = np.cumsum(fullest) / fullest.sum()
    return {f"{top:.0%}": float(held[int(np.ceil(top * len(held))) - 1]) for top in TOP}
