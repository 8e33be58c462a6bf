"""k-means on the kernels of recops; the result does not depend on the number of threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import recops
from recops_models import workers
from recops_models.callbacks import Callbacks
from recops_models.tokenizers.clustering.points import NEAREST, Assign, Points
from recops_models.training.device import array

_SEEDING_POINTS = 64
"""Points per code in the sample for k-means++; more are slower and barely improve the result."""


@dataclass(frozen=True)
class KMeansSettings:
    """Settings of k-means, per level.

    Attributes:
        iterations: largest number of passes over the points.
        tolerance: smallest relative decrease of the error; k-means stops below it.
        batch: points per update; 0: all.
        metric: distance to codewords.
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
    """Return a codebook from Lloyd's algorithm or mini-batch k-means, started by k-means++.

    With a ``batch``, each batch moves the codewords of its points towards their means: ``c_k ← c_k
    + (Σ x − n c_k) / N_k``, with n points in the batch and N_k in all batches so far.

    After each pass, a code without points moves to the point with the largest error, so all codes
    are used if there are enough different points. k-means stops after ``iterations`` passes, or
    when every code is used and the mean error decreased by less than ``tolerance`` of itself in
    ``patience`` passes.

    The metric cosine gives spherical k-means with points weighted by their length. Assignment and
    update each decrease ``Σ ‖x‖ (1 − cos(x, c))``: the sum of ``x·c/‖c‖`` over the points of a code
    is largest along their mean. A codeword is that mean, which also has the length of the least
    squared error along its direction. On unit vectors this is the algorithm of Dhillon and Modha.

    Args:
        points: N ≥ K finite points.
        num_codes: K.
        rng: draws the start and the batches.
        settings: passes, tolerance, batch and metric.
        callbacks: receive the share of finished passes, and the mean ``error``.
        assign: assigns points to codewords; None: to the nearest.
        patience: 1, or more if ``assign`` can return other codewords than the nearest. The error
            can then increase between passes; the result is the codebook with the lowest error, and
            ``settings.batch`` must be 0.

    Returns:
        ``[K, D]`` float32. With fewer than K different points some codewords are equal, and the
        later ones unused. A pass takes O(N · K · D), and O(K · D) memory in addition to the points.

    Source: Lloyd, "Least squares quantization in PCM", 1982; Sculley, "Web-scale k-means
    clustering", WWW 2010; Dhillon, Modha, "Concept decompositions for large sparse text data using
    clustering", 2001, with weights of our choice.
    """
    nearest = NEAREST[settings.metric]
    assign = assign or nearest
    sample = points.sample(_SEEDING_POINTS * num_codes, rng)
    codebook = _kmeans_plus_plus(sample, num_codes, rng, nearest)
    seen = codebook.new_zeros(num_codes)
    best, lowest = codebook, np.inf
    reference, error, stale = np.inf, np.inf, 0
    for iteration in range(settings.iterations):
        totals = _Pass(codebook)
        if settings.batch:
            for batch in points.batches(settings.batch, rng):
                sums, weights = map(workers.total, totals.add(batch, codebook, assign))
                seen += weights
                codebook = codebook + (sums - weights[:, None] * codebook) / seen[:, None].clamp(
                    min=1
                )
        else:
            for piece in points.pieces():
                totals.add(piece, codebook, assign)
        totals.sum_over_workers()
        error = totals.error
        callbacks.advance(iteration / settings.iterations, error=error)
        empty = torch.nonzero(totals.weights == 0)[:, 0]
        if error < lowest:
            best, lowest = codebook, error
        fell = reference - error >= settings.tolerance * error
        stale = 0 if fell else stale + 1
        if not error or (not len(empty) and stale >= patience):
            break
        if fell or len(empty):  # the error after a reset is not comparable with earlier ones
            reference = error
        if not settings.batch:
            means = totals.sums / totals.weights[:, None].clamp(min=1)
            codebook = torch.where(totals.weights[:, None] > 0, means, codebook)
        worst = totals.worst[: len(empty)]
        codebook[empty[: len(worst)]] = worst
        seen[empty] = 0
    if patience > 1:
        codebook, error = best, lowest
    callbacks.advance(1.0, error=error)
    return codebook


class _Pass:
    """Totals of one pass over the points.

    Attributes:
        sums: ``[K, D]``, sum of the points of each code.
        weights: ``[K]``, number of points of each code.
        worst: ``[≤ K, D]``, points with the largest errors, in descending order.
    """

    def __init__(self, codebook: Tensor) -> None:
        num_codes, dim = codebook.shape
        self.sums, self.weights = codebook.new_zeros(num_codes, dim), codebook.new_zeros(num_codes)
        self.worst, self._errors = codebook.new_empty(0, dim), np.empty(0, dtype=np.float32)
        self._total, self._count = 0.0, 0.0

    @property
    def error(self) -> float:
        """Mean error of the points."""
        return self._total / self._count

    def add(self, points: Tensor, codebook: Tensor, assign: Assign) -> tuple[Tensor, Tensor]:
        """Add points, and return their sums and numbers by code."""
        index, error = assign(points, codebook)
        errors = array(error)
        sums, weights = recops.accumulate_codes(points, index, len(codebook))
        self.sums, self.weights = self.sums + sums, self.weights + weights
        worst = _largest(errors, len(codebook))
        self.worst = torch.cat([self.worst, points[torch.from_numpy(worst).to(points.device)]])
        self._errors = np.concatenate([self._errors, errors[worst]])
        largest = _largest(self._errors, len(codebook))
        self.worst = self.worst[torch.from_numpy(largest).to(points.device)]
        self._errors = self._errors[largest]
        self._total += float(errors.sum(dtype=np.float64))
        self._count += len(points)
        return sums, weights

    def sum_over_workers(self) -> None:
        """Combine the totals of all workers, each of which has added its share of the points."""
        if not workers.several():
            return
        num_codes, dim = self.sums.shape
        self.sums, self.weights = workers.total(self.sums), workers.total(self.weights)
        host = torch.tensor([self._total, float(self._count)], dtype=torch.float64)
        self._total, self._count = workers.total(host).tolist()
        share = workers.share()
        candidates = self.worst.new_zeros(share.size, num_codes, dim + 1)
        candidates[share.rank, : len(self.worst), :dim] = self.worst
        errors = torch.from_numpy(self._errors).to(candidates.device)
        candidates[share.rank, :, dim] = -1  # Fewer points than codes: no candidate.
        candidates[share.rank, : len(errors), dim] = errors
        every = workers.total(candidates).flatten(0, 1)
        every = every[every[:, dim] >= 0]
        largest = torch.from_numpy(_largest(array(every[:, dim]), num_codes)).to(every.device)
        self.worst = every[largest, :dim]


def _largest(errors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the indices of the ``count`` largest errors, descending; equal ones in index order."""
    return np.argsort(-errors, kind="stable")[:count]


def _kmeans_plus_plus(
    points: Tensor, num_codes: int, rng: np.random.Generator, nearest: Assign
) -> Tensor:
    """Return K points, each drawn with probability proportional to its error so far.

    The error of a point is that of the nearest point drawn before. O(K · N · D).

    Source: Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    chosen = [int(rng.integers(len(points)))]
    errors: NDArray[np.float64] = np.full(len(points), np.inf)
    for _ in range(1, num_codes):
        _, error = nearest(points, points[chosen[-1:]])
        errors = np.minimum(errors, array(error))
        odds = np.cumsum(errors)
        # If all errors are 0, the last point is drawn again.
        draw = np.searchsorted(odds, rng.random() * odds[-1], side="right")
        chosen.append(min(int(draw), len(points) - 1))
    return points[chosen]
