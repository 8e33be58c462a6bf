"""k-means on the kernels of recops: the same bits whatever the number of threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import recops
from recops_models.callbacks import Callbacks
from recops_models.tokenizers.clustering.points import NEAREST, Assign, Points

_SEEDING_POINTS = 64
"""Points per code that the start looks at; more make it slower, hardly better."""


@dataclass(frozen=True)
class KMeansSettings:
    """Of k-means, per level.

    Attributes:
        iterations: at most so many passes over the points.
        tolerance: relative fall of the error below which it stops.
        batch: points an update; 0: all of them.
        metric: what is nearest.
    """

    iterations: int = 50
    tolerance: float = 1e-4
    batch: int = 0
    metric: Literal["l2", "cosine"] = "l2"

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations must be 1 or more, got {self.iterations}")
        if self.batch < 0:
            raise ValueError(f"batch must be 0 or more, got {self.batch}")


def kmeans(
    points: Points,
    num_codes: int,
    *,
    rng: np.random.Generator,
    settings: KMeansSettings,
    callbacks: Callbacks,
    assign: Assign | None = None,
    patience: int = 1,
) -> Tensor:
    """Lloyd's algorithm from a k-means++ start, or mini-batch k-means.

    With a ``batch``, every batch moves the codewords that it chose towards the means of its points:
    ``c_k ← c_k + (Σ x − n c_k) / N_k``, n points of the batch, N_k of all batches so far.

    A code that no point of a pass chose is set anew, on the point that is worst served, so that
    codes stay in use as long as there are different points to serve. It ends when for ``patience``
    passes the mean error fell by less than ``tolerance`` of itself and every code is in use, or
    after ``iterations`` passes.

    By cosine it is spherical k-means, of points that weigh by their length: assignment and update
    each lower ``Σ ‖x‖ (1 − cos(x, c))``, since the sum of ``x·c/‖c‖`` over the points of a code is
    largest along their mean. Codewords are those means, directions with the length that leaves the
    least squared error along them. On unit vectors the directions are those of Dhillon and Modha.

    Args:
        points: N ≥ K of them, finite.
        num_codes: K.
        rng: draws the start, and the batches.
        settings: see there.
        callbacks: receive the share of the passes that are done, and the mean ``error``.
        assign: of points to codewords; None: to the nearest.
        patience: 1, or more where ``assign`` takes others than the nearest codewords, so that the
            error may rise before it falls further; the codebook of the least error is then the
            outcome, and there must be no ``batch``.

    Returns:
        ``[K, D]`` float32. With fewer than K different points some codewords repeat, and the later
        ones go unused. O(N · K · D) a pass; memory, beside the points, O(K · D).

    Source: Lloyd, "Least squares quantization in PCM", 1982; Sculley, "Web-scale k-means
    clustering", WWW 2010; Dhillon, Modha, "Concept decompositions for large sparse text data using
    clustering", 2001, with weights of our choice.
    """
    nearest = NEAREST[settings.metric]
    assign = assign or nearest
    sample = points.sample(_SEEDING_POINTS * num_codes, rng)
    codebook = _kmeans_plus_plus(sample, num_codes, rng, nearest)
    seen = torch.zeros(num_codes)
    best, lowest = codebook, np.inf
    reference, error, stale = np.inf, np.inf, 0
    for iteration in range(settings.iterations):
        found = _Pass(*codebook.shape)
        if settings.batch:
            for batch in points.batches(settings.batch, rng):
                sums, weights = found.add(batch, codebook, assign)
                seen += weights
                codebook = codebook + (sums - weights[:, None] * codebook) / seen[:, None].clamp(
                    min=1
                )
        else:
            for piece in points.pieces():
                found.add(piece, codebook, assign)
        error = found.error
        callbacks.advance(iteration / settings.iterations, error=error)
        empty = torch.nonzero(found.weights == 0)[:, 0]
        if error < lowest:
            best, lowest = codebook, error
        fell = reference - error >= settings.tolerance * error
        stale = 0 if fell else stale + 1
        if not error or (not len(empty) and stale >= patience):
            break
        if fell or len(empty):  # Codes set anew begin anew.
            reference = error
        if not settings.batch:
            means = found.sums / found.weights[:, None].clamp(min=1)
            codebook = torch.where(found.weights[:, None] > 0, means, codebook)
        worst = found.worst[: len(empty)]
        codebook[empty[: len(worst)]] = worst
        seen[empty] = 0
    if patience > 1:
        codebook, error = best, lowest
    callbacks.advance(1.0, error=error)
    return codebook


class _Pass:
    """What one pass over the points finds.

    Attributes:
        sums: ``[K, D]``, of the points by code.
        weights: ``[K]``, their numbers.
        worst: ``[≤ K, D]``, the points worst served, the worst first.
    """

    def __init__(self, num_codes: int, dim: int) -> None:
        self.sums, self.weights = torch.zeros(num_codes, dim), torch.zeros(num_codes)
        self.worst, self._errors = torch.empty(0, dim), np.empty(0, dtype=np.float32)
        self._total, self._count = 0.0, 0

    @property
    def error(self) -> float:
        """The mean error."""
        return self._total / self._count

    def add(self, points: Tensor, codebook: Tensor, assign: Assign) -> tuple[Tensor, Tensor]:
        """Take in some points; their sums and numbers by code."""
        index, error = assign(points, codebook)
        errors = error.numpy()
        sums, weights = recops.accumulate_codes(points, index, len(codebook))
        self.sums, self.weights = self.sums + sums, self.weights + weights
        worst = _largest(errors, len(codebook))
        self.worst = torch.cat([self.worst, points[torch.from_numpy(worst)]])
        self._errors = np.concatenate([self._errors, errors[worst]])
        kept = _largest(self._errors, len(codebook))
        self.worst, self._errors = self.worst[torch.from_numpy(kept)], self._errors[kept]
        self._total += float(errors.sum(dtype=np.float64))
        self._count += len(points)
        return sums, weights


def _largest(errors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Where the ``count`` largest are, in order; equal ones stay in theirs."""
    return np.argsort(-errors, kind="stable")[:count]


def _kmeans_plus_plus(
    points: Tensor, num_codes: int, rng: np.random.Generator, nearest: Assign
) -> Tensor:
    """K points, each drawn with odds in its error (its squared distance) from those before it.

    Source: Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007; on a
    sample where there are many points. O(K · N · D).
    """
    chosen = [int(rng.integers(len(points)))]
    errors: NDArray[np.float64] = np.full(len(points), np.inf)
    for _ in range(1, num_codes):
        _, error = nearest(points, points[chosen[-1:]])
        errors = np.minimum(errors, error.numpy())
        odds = np.cumsum(errors)
        # Where all points are taken the odds are zero, and the draw repeats the first.
        draw = np.searchsorted(odds, rng.random() * odds[-1], side="right")
        chosen.append(min(int(draw), len(points) - 1))
    return points[chosen]
