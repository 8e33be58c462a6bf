"""Residual k-means: one codebook a level, each learnt on what the levels before it left over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from typing_extensions import Self

import recops
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.fitting import Fitting, Progress
from recops_models.tokenizers.kmeans import KMeansSettings
from recops_models.tokenizers.points import Points, TensorPoints
from recops_models.tokenizers.residual_kmeans import residual_kmeans
from recops_models.tokenizers.streamed_points import StreamedPoints


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

    def fit_file(
        self,
        file: VectorFile,
        *,
        seed: int = 0,
        progress: Progress | None = None,
        folder: Path | None = None,
        resume: bool = False,
    ) -> Self:
        """:meth:`Tokenizer.fit` on a file that need not fit into memory, read once a pass.

        Memory does not grow with the file. In the order of rows, sums are those of the whole cut
        in pieces: without ``batch``, codebooks differ from :meth:`Tokenizer.fit`'s by rounding.

        Raises:
            ValueError: fewer vectors than codes.
            DataError: the file is damaged, or holds a vector that is not finite.
        """
        self.check_count(file.num_rows)
        report = progress or (lambda *_: None)
        given = Fitting(seed, report, folder=folder, resume=resume)
        self._learn(StreamedPoints(file), (), given)
        return self

    def encode(self, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """Greedily, level by level; see :meth:`Tokenizer.encode` and :func:`recops.rq_encode`."""
        codes, _ = recops.rq_encode(self._check("encode", vectors), self._fitted())
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """The sums of codewords; see :meth:`Tokenizer.decode`."""
        return recops.rq_decode(codes, self._fitted())

    def _fit(self, points: Tensor, given: Fitting) -> None:
        self._learn(TensorPoints(points), (), given)

    def _refit(self, points: Tensor, keep_levels: int, given: Fitting) -> None:
        self._learn(TensorPoints(points), self._fitted()[:keep_levels], given)

    def _learn(self, points: Points, kept: tuple[Tensor, ...], given: Fitting) -> None:
        self.codebooks = residual_kmeans(
            points, self.vocab_sizes, given, settings=self.settings, kept=kept
        )

    def _state(self) -> dict[str, Tensor]:
        return {f"codebook_{level}": book for level, book in enumerate(self._fitted())}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        self.codebooks = tuple(state[f"codebook_{level}"] for level in range(len(self._sizes)))

    def _fitted(self) -> tuple[Tensor, ...]:
        if not self.codebooks:
            raise self._not_fitted()
        return tuple(self.codebooks)
