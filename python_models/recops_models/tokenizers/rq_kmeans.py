"""Residual k-means: one codebook a level, each learnt on what the levels before it left over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

import recops
from recops_models.tokenizers.base import Fitting, Tokenizer
from recops_models.tokenizers.residual_kmeans import residual_kmeans


@dataclass(frozen=True)
class KMeansSettings:
    """Of k-means, per level.

    Attributes:
        iterations: at most so many.
        tolerance: relative fall of the error below which it stops.
    """

    iterations: int = 50
    tolerance: float = 1e-4


class RQKMeans(Tokenizer):
    """Residual quantization with k-means codebooks.

    Level l's codebook is the k-means of the residuals r_l, with r₀ = x and r_{l+1} = r_l − c(r_l),
    c(r) the codeword nearest to r. The codes of one vector are its semantic ID; vectors that share
    all of them share an ID.

    Source: the tokenizer of OneRec and QARM (residual k-means); k-means++ start and repair of empty
    codes as in :func:`~recops_models.tokenizers.kmeans.kmeans`.
    """

    method = "rq-kmeans"
    settings_type = KMeansSettings
    codebooks: tuple[Tensor, ...] = ()
    """Of the fitted tokenizer: ``[K_l, D]`` float32 a level."""

    def encode(self, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """Greedily, level by level; see :meth:`Tokenizer.encode` and :func:`recops.rq_encode`."""
        codes, _ = recops.rq_encode(self._check("encode", vectors), self._fitted())
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """The sums of codewords; see :meth:`Tokenizer.decode`."""
        return recops.rq_decode(codes, self._fitted())

    def _fit(self, points: Tensor, given: Fitting) -> None:
        self.codebooks = self._learn(points, (), given)

    def _refit(self, points: Tensor, keep_levels: int, given: Fitting) -> None:
        self.codebooks = self._learn(points, self._fitted()[:keep_levels], given)

    def _learn(
        self, points: Tensor, kept: tuple[Tensor, ...], given: Fitting
    ) -> tuple[Tensor, ...]:
        settings: KMeansSettings = self.settings
        return residual_kmeans(
            points,
            self.vocab_sizes,
            given,
            iterations=settings.iterations,
            tolerance=settings.tolerance,
            kept=kept,
        )

    def _state(self) -> dict[str, Tensor]:
        return {f"codebook_{level}": book for level, book in enumerate(self._fitted())}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        self.codebooks = tuple(state[f"codebook_{level}"] for level in range(len(self._sizes)))

    def _fitted(self) -> tuple[Tensor, ...]:
        if not self.codebooks:
            raise self._not_fitted()
        return tuple(self.codebooks)
