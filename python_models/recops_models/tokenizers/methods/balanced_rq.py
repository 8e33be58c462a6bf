"""Balanced residual k-means: residual k-means with a capacity per code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

import recops
from recops_models.tokenizers.checks import check_weights
from recops_models.tokenizers.clustering.points import Assign, Points
from recops_models.tokenizers.fitting import Fitting
from recops_models.tokenizers.methods.rq_kmeans import RQKMeans, RQKMeansSettings


@dataclass(frozen=True)
class BalancedSettings(RQKMeansSettings):
    """Settings of :class:`BalancedRQ`, in addition to those of residual k-means.

    ``batch`` must be 0.

    Attributes:
        slack: τ ≥ 1, capacity of a code as a multiple of the mean load.
        clip: ρ, largest weight of an item as a share of that capacity; 0: no limit.
        patience: passes without a decrease of the error before k-means stops; under a capacity the
            error can increase between passes.
    """

    slack: float = 1.05
    clip: float = 0.25
    patience: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch:
            raise ValueError(f"batch must be 0 under a capacity, got {self.batch}")
        if not (math.isfinite(self.slack) and self.slack >= 1):
            raise ValueError(f"slack must be 1 or more, got {self.slack}")
        if not (math.isfinite(self.clip) and self.clip >= 0):
            raise ValueError(f"clip must be 0 or more, got {self.clip}")
        if self.patience < 1:
            raise ValueError(f"patience must be 1 or more, got {self.patience}")


class BalancedRQ(RQKMeans):
    """Residual k-means with a capacity per code.

    Each level runs Lloyd's algorithm with an assignment that minimises ``Σ ‖r_i − μ_{z_i}‖²``
    subject to ``Σ_{i: z_i = k} w̃_i ≤ cap`` for every code k (:func:`recops.balance_assignment`).
    Codewords are unweighted means of their members; the codebook with the lowest error is the
    result. With C̃ = Σ w̃ / K,

        ``w̃_i = min(w_i, ρ τ C̃)``  and  ``cap = max(τ C̃, ⌈N₊ / K⌉ · min w)``,

    where w̃ is the largest solution, or the minimum weight if there is none, and N₊ and min are over
    items of positive weight; no smaller capacity could hold them. Clipping makes room for items
    that exceed the capacity alone. The capacity limits w̃, so a code with such an item can have a
    larger sum of w. Items of weight 0 get their nearest code and do not count.

    :meth:`encode` with the weights returns the codes of the catalogue. Without weights it returns
    the nearest codes, for new items. Many new items can exceed the capacity of a code; then call
    :meth:`refit`, or encode all items with weights.

    :meth:`fit` takes the weights: exposures, or None for equal weights. Each level has its own
    capacity, so paths are balanced only indirectly.

    Source: UniRec (arXiv 2604.12234), section 3, problem and τ = 1.05. The order of repair, the
    clipping, unweighted means and the minimum capacity are our choice.

    Raises:
        ValueError: from :meth:`fit`, :meth:`refit` and :meth:`encode` with weights: all weights
            are 0, or the items do not fit into the codes.
    """

    method = "balanced-rq"
    settings_type = BalancedSettings
    settings: BalancedSettings
    uses_weights = True
    streams = False

    @property
    def shares_fit(self) -> bool:
        return False

    def encode(self, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """Return the nearest codes, or with ``weights`` codes of all rows under the capacity."""
        if weights is None or not len(vectors):
            return super().encode(vectors)
        residual = self._check_fitted_width("encode", vectors)
        checked = check_weights(f"{self._name}.encode", weights, residual)
        codes: list[Tensor] = []
        for part, books in self._groups():
            points = residual[:, part]
            for book in books:
                index, load, feasible = self._assign(points, book, checked)
                if not feasible:
                    times = float(load.max() / load.mean())
                    raise self._overfull(len(codes), f"its fullest code has {times:.3g}")
                codes.append(index)
                points = points - recops.rq_decode(index[:, None], [book])
        return torch.stack(codes, dim=1)

    @property
    def _patience(self) -> int:
        return self.settings.patience

    def _check_fit_inputs(self, dim: int, pairs: Tensor | None, weights: Tensor | None) -> None:
        """Check the dimensions, and that no item exceeds the capacity of a code."""
        super()._check_fit_inputs(dim, pairs, weights)
        if weights is None:
            return
        for level, size in enumerate(self._sizes):
            clipped, capacity = capacity_of(weights, size, self.settings.slack, self.settings.clip)
            if float(clipped.max()) > capacity:
                times = float(clipped.max()) * size / float(clipped.double().sum())
                raise self._overfull(level, f"the heaviest has {times:.3g}")

    def _overfull(self, level: int, load: str) -> ValueError:
        return ValueError(
            f"{self._name}: level {level} cannot hold items of these weights, {load} times the "
            "mean load; use more slack, less clip or fewer codes"
        )

    def _assignment(self, points: Points, fitting: Fitting) -> Assign:
        weights = torch.ones(len(points)) if fitting.weights is None else fitting.weights
        # Capacities are computed in float64 on the host.
        return partial(self._assign_and_measure, weights)

    def _fit(self, points: Tensor, fitting: Fitting) -> None:
        super()._fit(points, fitting)
        self._check_capacity(points, fitting)

    def _refit(self, points: Tensor, keep_levels: int, fitting: Fitting) -> None:
        super()._refit(points, keep_levels, fitting)
        self._check_capacity(points, fitting)

    def _check_capacity(self, points: Tensor, fitting: Fitting) -> None:
        """Check that the codes of the catalogue respect the capacity."""
        ones = torch.ones(len(points))
        self.encode(points, weights=ones if fitting.weights is None else fitting.weights)

    def _assign_and_measure(
        self, weights: Tensor, points: Tensor, book: Tensor
    ) -> tuple[Tensor, Tensor]:
        index, _, _ = self._assign(points, book, weights)
        chosen = recops.rq_decode(index[:, None], [book])
        if self.settings.metric == "l2":
            return index, (points - chosen).square().sum(dim=1)
        length = torch.linalg.vector_norm(points, dim=1)
        return index, length * (1 - functional.cosine_similarity(points, chosen, dim=1))

    def _assign(
        self, points: Tensor, book: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        settings = self.settings
        clipped, capacity = capacity_of(weights, len(book), settings.slack, settings.clip)
        if settings.metric == "cosine":  # squared distance of unit vectors: 2 − 2 cos
            points, book = functional.normalize(points), functional.normalize(book)
        return recops.balance_assignment(points, book, clipped.to(points.device), capacity)


def capacity_of(weights: Tensor, codes: int, slack: float, clip: float) -> tuple[Tensor, float]:
    """Return the clipped weights ``[N]`` and the capacity of a code; see :class:`BalancedRQ`.

    Raises:
        ValueError: all weights are 0.
    """
    positive = weights[weights > 0].double().sort(descending=True).values
    if not len(positive):
        raise ValueError("BalancedRQ: weights must have a positive entry, got all 0")
    lightest = float(positive[-1])
    clipped = weights
    if clip:
        clipped = weights.clamp(max=max(_bound(positive, clip * slack / codes), lightest))
    least = -(-len(positive) // codes) * lightest
    return clipped, max(slack * float(clipped.double().sum()) / codes, least)


def _bound(weights: Tensor, share: float) -> float:
    """Return the largest b with ``b = share · Σ min(w, b)``; 0 if there is none.

    If the m largest weights are cut to b, then b = share · (m b + the sum of the others).

    Args:
        weights: weights of the items, in descending order.
        share: b as a share of the sum.
    """
    cut = torch.arange(len(weights), dtype=torch.float64)
    uncut = weights.flip(0).cumsum(0).flip(0)
    bound = share * uncut / (1 - share * cut)
    fits = (share * cut < 1) & (weights <= bound)
    return float(bound[fits][0]) if fits.any() else 0.0
