"""Residual k-means: one codebook a level, each learnt on what the levels before it left over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

import recops
from recops.files import load_tensors, save_tensors
from recops_models.tokenizers.base import Progress
from recops_models.tokenizers.kmeans import kmeans

_KIND = "rq-kmeans"


class RQKMeans:
    """Residual quantization with k-means codebooks.

    Level l's codebook is the k-means of the residuals r_l, with r₀ = x and r_{l+1} = r_l − c(r_l),
    c(r) the codeword nearest to r. The codes of one vector are its semantic ID; vectors that share
    all of them share an ID.

    Source: the tokenizer of OneRec and QARM (residual k-means); k-means++ start and repair of empty
    codes as in :func:`~recops_models.tokenizers.kmeans.kmeans`.

    Args:
        levels: L ≥ 1.
        codes: K, one for all levels, or one a level.
        iterations: of k-means, at most, per level.
        tolerance: relative fall of the error below which k-means stops.

    Raises:
        ValueError: no level, or a level without codes.
    """

    def __init__(
        self,
        levels: int = 3,
        codes: int | Sequence[int] = 256,
        *,
        iterations: int = 50,
        tolerance: float = 1e-4,
    ) -> None:
        sizes = (codes,) * levels if isinstance(codes, int) else tuple(codes)
        if levels < 1 or len(sizes) != levels or min(sizes) < 1:
            raise ValueError(
                f"RQKMeans: {levels} levels with {codes} codes: each level needs its own, 1 or more"
            )
        self.iterations = iterations
        self.tolerance = tolerance
        self.codebooks: list[Tensor] = []
        self._sizes = sizes

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """Codes per level."""
        return self._sizes

    def fit(
        self, vectors: Tensor, item_ids: Tensor, *, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Learn the codebooks; the same bits for the same seed, at any number of threads.

        Args:
            vectors: ``[N, D]``, finite; N ≥ the largest level's codes.
            item_ids: ``[N]``, named in errors.
            seed: draws the start of every level.
            progress: called after each iteration with level, iteration and mean squared error.

        Raises:
            ValueError: fewer items than codes, a vector that is not finite, or other shapes.
        """
        residual = self._check("fit", vectors)
        if len(item_ids) != len(residual):
            raise ValueError(f"RQKMeans.fit: {len(item_ids)} ids for {len(residual)} vectors")
        if len(residual) < max(self._sizes):
            raise ValueError(
                f"RQKMeans.fit: {len(residual)} items cannot fill {max(self._sizes)} codes; "
                "use fewer codes"
            )
        rng = np.random.default_rng(seed)
        report = progress or (lambda *_: None)
        self.codebooks = []
        for level, size in enumerate(self._sizes):
            codebook = kmeans(
                residual,
                size,
                rng=rng,
                iterations=self.iterations,
                tolerance=self.tolerance,
                progress=partial(report, level),
            )
            index, _ = recops.nearest_codes(residual, codebook)
            residual = residual - recops.rq_decode(index, [codebook])
            self.codebooks.append(codebook)
        return self

    def encode(self, vectors: Tensor) -> Tensor:
        """Codes ``[N, L]`` int32, greedily, level by level; see :func:`recops.rq_encode`.

        Raises:
            RuntimeError: not fitted.
            ValueError: a vector that is not finite, or of another width than the codebooks.
        """
        codes, _ = recops.rq_encode(self._check("encode", vectors), self._fitted())
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """The sums of codewords ``[N, D]`` float32; code −1 adds nothing.

        Raises:
            RuntimeError: not fitted.
        """
        return recops.rq_decode(codes, self._fitted())

    def config(self) -> dict[str, object]:
        """The arguments that make this tokenizer anew."""
        return {
            "levels": len(self._sizes),
            "codes": list(self._sizes),
            "iterations": self.iterations,
            "tolerance": self.tolerance,
        }

    def save(self, path: Path) -> None:
        """Write codebooks and configuration as one sealed safetensors file."""
        tensors = {f"codebook_{level}": book for level, book in enumerate(self._fitted())}
        save_tensors(path, tensors, kind=_KIND, meta=self.config())

    @classmethod
    def load(cls, path: Path) -> Self:
        """The tokenizer that :meth:`save` wrote.

        Raises:
            CorruptFileError: the file is damaged, or not a tokenizer of this kind.
            FileNotFoundError: no such file.
        """
        tensors, config = load_tensors(path, kind=_KIND)
        tokenizer = cls(**config)
        tokenizer.codebooks = [tensors[f"codebook_{level}"] for level in range(config["levels"])]
        return tokenizer

    def _fitted(self) -> list[Tensor]:
        if not self.codebooks:
            raise RuntimeError("RQKMeans: not fitted; call fit or load first")
        return self.codebooks

    def _check(self, method: str, vectors: Tensor) -> Tensor:
        if vectors.ndim != 2 or not vectors.is_floating_point():
            raise ValueError(
                f"RQKMeans.{method}: vectors must be floats [N, D], "
                f"got {vectors.dtype} {list(vectors.shape)}"
            )
        finite = torch.isfinite(vectors).all(dim=1)
        if not finite.all():
            row = int((~finite).nonzero()[0])
            raise ValueError(f"RQKMeans.{method}: vector {row} is not finite")
        return vectors.float()
