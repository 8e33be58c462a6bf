"""k-means on the kernels of recops: the same bits whatever the number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import recops

Assign: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of points ``[N, D]`` and a codebook ``[K, D]``: each point's code ``[N]`` int32, and its squared
distance ``[N]`` from that codeword."""

_SEEDING_POINTS = 64
"""Points per code that the start looks at; more make it slower, hardly better."""


def nearest(points: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Every point to its nearest codeword."""
    index, distance = recops.nearest_codes(points, codebook)
    return index[:, 0], distance[:, 0]


def kmeans(
    points: Tensor,
    num_codes: int,
    *,
    rng: np.random.Generator,
    iterations: int,
    tolerance: float,
    progress: Callable[[float, float], None],
    assign: Assign = nearest,
) -> Tensor:
    """Lloyd's algorithm from a k-means++ start.

    A code that no point chose is set anew, on the point that is worst served, so that codes stay in
    use as long as there are different points to serve. It ends when the mean squared error falls by
    less than ``tolerance`` of itself and every code is in use, or after ``iterations``.

    Args:
        points: ``[N, D]`` float32, finite.
        num_codes: K ≤ N.
        rng: draws the start.
        iterations: at most this many.
        tolerance: relative.
        progress: called with the share of the iterations that are done, and the mean squared error.
        assign: of points to codewords.

    Returns:
        ``[K, D]`` float32. With fewer than K different points some codewords repeat, and the later
        ones go unused. O(N · K · D) an iteration.
    """
    codebook = _kmeans_plus_plus(points, num_codes, rng)
    previous = np.inf
    for iteration in range(iterations):
        index, distance = assign(points, codebook)
        errors = distance.numpy()
        error = float(errors.mean(dtype=np.float64))
        progress(iteration / iterations, error)
        sums, weights = recops.accumulate_codes(points, index, num_codes)
        empty = torch.nonzero(weights == 0)[:, 0]
        if not error or (not len(empty) and previous - error < tolerance * error):
            break
        codebook = torch.where(weights[:, None] > 0, sums / weights[:, None].clamp(min=1), codebook)
        # The sort is stable: equally bad points are taken in their order.
        worst = np.argsort(-errors, kind="stable")[: len(empty)]
        codebook[empty] = points[torch.from_numpy(worst)]
        previous = error
    return codebook


def _kmeans_plus_plus(points: Tensor, num_codes: int, rng: np.random.Generator) -> Tensor:
    """K points, each drawn with odds in its squared distance from those before it.

    Source: Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007; on a
    sample where there are many points. O(K · N · D).
    """
    if len(points) > _SEEDING_POINTS * num_codes:
        sample = rng.choice(len(points), _SEEDING_POINTS * num_codes, replace=False)
        points = points[torch.from_numpy(np.sort(sample))]
    chosen = [int(rng.integers(len(points)))]
    nearest: NDArray[np.float64] = np.full(len(points), np.inf)
    for _ in range(1, num_codes):
        _, distance = recops.nearest_codes(points, points[chosen[-1:]])
        nearest = np.minimum(nearest, distance[:, 0].numpy())
        odds = np.cumsum(nearest)
        # Where all points are taken the odds are zero, and the draw repeats the first.
        draw = np.searchsorted(odds, rng.random() * odds[-1], side="right")
        chosen.append(min(int(draw), len(points) - 1))
    return points[chosen]
