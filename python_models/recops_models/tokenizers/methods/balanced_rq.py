"""Balanced residual k-means: no code may carry more than its share of exposure."""

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
    """Beside those of :class:`~recops_models.tokenizers.methods.rq_kmeans.RQKMeans`; ``batch`` must
    be 0.

    Attributes:
        slack: τ ≥ 1: a code may carry so many times the mean load.
        clip: ρ: no item counts for more than this share of that; 0: items count in full.
        patience: passes without a fall of the error before k-means ends; under a capacity it may
            rise in between.
    """

    slack: float = 1.05
    clip: float = 0.25
    patience: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch:
            raise ValueError("batch must be 0: a capacity is that of all items together")
        if not (math.isfinite(self.slack) and self.slack >= 1):
            raise ValueError(f"slack must be 1 or more, got {self.slack}")
        if not (math.isfinite(self.clip) and self.clip >= 0):
            raise ValueError(f"clip must be 0 or more, got {self.clip}")
        if self.patience < 1:
            raise ValueError(f"patience must be 1 or more, got {self.patience}")


class BalancedRQ(RQKMeans):
    """:class:`~recops_models.tokenizers.methods.rq_kmeans.RQKMeans` under a capacity.

    Level by level, Lloyd's algorithm whose assignment minimises ``Σ ‖r_i − μ_{z_i}‖²`` subject to
    ``Σ_{i: z_i = k} w̃_i ≤ cap`` for every code k (:func:`recops.balance_assignment`); codewords are
    plain means of their members, and the codebook of the least error is kept. With C̃ = Σ w̃ / K,

        ``w̃_i = min(w_i, ρ τ C̃)``  and  ``cap = max(τ C̃, ⌈N₊ / K⌉ · min w)``,

    w̃ the largest that say so, or as light as the lightest item if none do; N₊ and min over items of
    positive weight: no smaller capacity could hold them. Clipping makes room for items that alone
    outweigh a code; the capacity holds of w̃, so a code with such an item may carry more of w. Items
    of weight 0 go to their nearest code and count for nothing.

    The codes of the catalogue are those of :meth:`encode` with its weights. Without weights,
    :meth:`encode` takes the nearest codes, which is how a new item gets its own; many new items
    can fill a code beyond its capacity: :meth:`refit`, or encode all with weights.

    Weights are given to :meth:`fit`: exposures, or none for equal numbers of items. The capacity
    is each level's own: paths are balanced only as far as levels are.

    Source: UniRec (arXiv 2604.12234), section 3, problem and τ = 1.05. Order of repair, clipping,
    plain means and the least capacity are our choice.

    Raises:
        ValueError: from :meth:`fit`, :meth:`refit` and :meth:`encode` with weights: all weights
            are 0; or items of different weight do not fit into the codes.
    """

    method = "balanced-rq"
    settings_type = BalancedSettings
    settings: BalancedSettings
    uses_weights = True

    def encode(self, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """Nearest codes, or with ``weights`` all rows together under the capacity."""
        if weights is None or not len(vectors):
            return super().encode(vectors)
        residual = self._check_like_learnt("encode", vectors)
        checked = check_weights(f"{self._name}.encode", weights, residual)
        codes: list[Tensor] = []
        for part, books in self._groups():
            left = residual[:, part]
            for book in books:
                index, load, feasible = self._assign(left, book, checked)
                if not feasible:
                    times = float(load.max() / load.mean())
                    raise self._overfull(len(codes), f"its fullest code has {times:.3g} times")
                codes.append(index)
                left = left - recops.rq_decode(index[:, None], [book])
        return torch.stack(codes, dim=1)

    @property
    def _patience(self) -> int:
        return self.settings.patience

    def _check_given(self, dim: int, pairs: Tensor | None, weights: Tensor | None) -> None:
        """Beside dimensions: that no item is heavier than a code may be."""
        super()._check_given(dim, pairs, weights)
        if weights is None:
            return
        for level, size in enumerate(self._sizes):
            clipped, capacity = capacity_of(weights, size, self.settings.slack, self.settings.clip)
            if float(clipped.max()) > capacity:
                times = float(clipped.max()) * size / float(clipped.double().sum())
                raise self._overfull(level, f"the heaviest has {times:.3g} times")

    def _overfull(self, level: int, told: str) -> ValueError:
        return ValueError(
            f"{self._name}: level {level} cannot hold items of such weights, {told} the mean load; "
            "use more slack, less clip or fewer codes"
        )

    def _assignment(self, points: Points, given: Fitting) -> Assign:
        weights = torch.ones(len(points)) if given.weights is None else given.weights
        return partial(self._assign_and_measure, weights)

    def _fit(self, points: Tensor, given: Fitting) -> None:
        super()._fit(points, given)
        self._hold(points, given)

    def _refit(self, points: Tensor, keep_levels: int, given: Fitting) -> None:
        super()._refit(points, keep_levels, given)
        self._hold(points, given)

    def _hold(self, points: Tensor, given: Fitting) -> None:
        """Make sure that the codes of the catalogue keep to the capacity."""
        ones = torch.ones(len(points))
        self.encode(points, weights=ones if given.weights is None else given.weights)

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
        if settings.metric == "cosine":  # Regret is in 2 − 2 cos, the distance of directions.
            points, book = functional.normalize(points), functional.normalize(book)
        return recops.balance_assignment(points, book, clipped, capacity)


def capacity_of(weights: Tensor, codes: int, slack: float, clip: float) -> tuple[Tensor, float]:
    """The clipped weights ``[N]`` and the capacity of a code; see :class:`BalancedRQ`.

    Raises:
        ValueError: all weights are 0.
    """
    carrying = weights[weights > 0].double().sort(descending=True).values
    if not len(carrying):
        raise ValueError("BalancedRQ: all weights are 0, so that there is no load to balance")
    lightest = float(carrying[-1])
    clipped = weights
    if clip:
        clipped = weights.clamp(max=max(_bound(carrying, clip * slack / codes), lightest))
    least = -(-len(carrying) // codes) * lightest
    return clipped, max(slack * float(clipped.double().sum()) / codes, least)


def _bound(weights: Tensor, share: float) -> float:
    """The largest b with ``b = share · Σ min(w, b)``, for ``weights`` from the heaviest on; or 0.

    If the m heaviest weights are cut to b, b = share · (m b + the sum of the others).
    """
    cut = torch.arange(len(weights), dtype=torch.float64)
    rest = weights.flip(0).cumsum(0).flip(0)
    bound = share * rest / (1 - share * cut)
    fits = (share * cut < 1) & (weights <= bound)
    return float(bound[fits][0]) if fits.any() else 0.0
