"""Residual k-means: one codebook a level, each learnt on what the levels before it left over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor
from torch.nn import functional
from typing_extensions import Self

import recops
from recops.ops.residual_quantization.nearest_codes import Metric
from recops_models.callbacks import Callbacks
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.clustering.kmeans import KMeansSettings
from recops_models.tokenizers.clustering.points import Assign, Points, TensorPoints
from recops_models.tokenizers.clustering.residual_kmeans import pieces_of, residual_kmeans
from recops_models.tokenizers.clustering.streamed_points import StreamedPoints
from recops_models.tokenizers.fitting import Fitting


@dataclass(frozen=True)
class RQKMeansSettings(KMeansSettings):
    """Beside those of k-means.

    Attributes:
        groups: G, pieces that vectors are cut into, each with L / G levels of its own.
    """

    groups: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.groups < 1:
            raise ValueError(f"groups must be 1 or more, got {self.groups}")


class RQKMeans(Tokenizer):
    """Residual quantization with k-means codebooks.

    Level l's codebook is the k-means of the residuals r_l, with r₀ = x and r_{l+1} = r_l − c(r_l),
    c(r) the codeword nearest to r. The codes of one vector are its semantic ID; vectors that share
    all of them share an ID. With ``metric=cosine`` the nearest is that of the most like direction,
    and k-means spherical.

    With ``groups``, vectors are cut into G pieces of D / G dimensions, and levels are dealt out:
    the first L / G quantize the first piece, the next the second, at a G-th of the work. The first
    codes of an ID then know of the first piece alone.

    Source: the tokenizer of OneRec and QARM (residual k-means); k-means++ start and repair of empty
    codes as in :func:`~recops_models.tokenizers.clustering.kmeans.kmeans`. Groups: faiss' product
    residual quantizer; HiFi-Codec (Yang et al., 2023).

    Raises:
        ValueError: levels that groups do not divide; from :meth:`fit`, dimensions.
    """

    method = "rq-kmeans"
    settings_type: ClassVar[type[RQKMeansSettings]] = RQKMeansSettings
    settings: RQKMeansSettings
    codebooks: tuple[Tensor, ...] = ()
    """Of the fitted tokenizer: ``[K_l, D]`` float32 a level, zero outside its group's piece."""

    def __init__(
        self,
        levels: int = 3,
        codes: int | Sequence[int] = 256,
        settings: RQKMeansSettings | None = None,
    ) -> None:
        super().__init__(levels, codes, settings)
        if levels % self.settings.groups:
            raise ValueError(
                f"{self._name}: {levels} levels cannot be dealt out to {self.settings.groups} "
                "groups; use a multiple"
            )

    @property
    def metric(self) -> Metric:
        return self.settings.metric

    def fit_file(
        self,
        file: VectorFile,
        *,
        seed: int = 0,
        callbacks: Callbacks | None = None,
        folder: Path | None = None,
        resume: bool = False,
    ) -> Self:
        """:meth:`Tokenizer.fit` on a file that need not fit into memory, read once a pass.

        Memory does not grow with the file. In the order of rows, sums are those of the whole cut
        in pieces: without ``batch``, codebooks differ from :meth:`Tokenizer.fit`'s by rounding.

        Raises:
            ValueError: fewer vectors than codes; dimensions that groups do not divide.
            DataError: the file is damaged, or holds a vector that is not finite.
        """
        self.check_file(file)
        given = Fitting(seed, callbacks or Callbacks(), folder=folder, resume=resume)
        given.begin()
        self._learn(StreamedPoints(file), (), given)
        return self

    def check_file(self, file: VectorFile) -> None:
        """Whether the file has vectors enough for :meth:`fit_file`, of fit dimensions.

        Raises:
            ValueError: it has not.
        """
        self.check_count(file.num_rows)
        self._check_given(file.dim, None, None)

    def encode(self, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """Greedily, level by level; see :meth:`Tokenizer.encode` and :func:`recops.rq_encode`."""
        points = self._check_like_learnt("encode", vectors)
        stacks = [books for _, books in self._groups()]
        codes, _ = recops.rq_encode(points, stacks, metric=self.metric)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """The sums of codewords; see :meth:`Tokenizer.decode`."""
        return recops.rq_decode(codes, self._fitted())

    def _fit(self, points: Tensor, given: Fitting) -> None:
        self._learn(TensorPoints(points), (), given)

    def _refit(self, points: Tensor, keep_levels: int, given: Fitting) -> None:
        kept = self._fitted()[:keep_levels]
        if kept:
            self._check_like_learnt("refit", points)
        self._check_groups(points.shape[1])
        self._learn(TensorPoints(points), kept, given)

    def _check_given(self, dim: int, pairs: Tensor | None, weights: Tensor | None) -> None:
        self._check_groups(dim)

    def _check_groups(self, dim: int) -> None:
        if dim % self.settings.groups:
            raise ValueError(
                f"{self._name}: vectors of {dim} dimensions cannot be cut into "
                f"{self.settings.groups} groups"
            )

    def _check_like_learnt(self, call: str, vectors: Tensor) -> Tensor:
        points = self._check(call, vectors)
        self._check_width(call, points, self._fitted()[0].shape[1])
        return points

    def _learn(self, points: Points, kept: tuple[Tensor, ...], given: Fitting) -> None:
        groups, dim = self.settings.groups, points.dim
        parts = self._parts(dim)
        books = residual_kmeans(
            points,
            self.vocab_sizes,
            given,
            settings=self.settings,
            kept=[book[:, part] for book, part in zip(kept, parts, strict=False)],
            assign=self._assignment(points, given),
            groups=groups,
            patience=self._patience,
        )
        self.codebooks = tuple(
            functional.pad(book, (part.start, dim - part.stop))
            for book, part in zip(books, parts, strict=True)
        )

    @property
    def _patience(self) -> int:
        """Of k-means; see there."""
        return 1

    def _assignment(self, points: Points, given: Fitting) -> Assign | None:
        """Of points to codewords, while they are learnt; None: to the nearest."""
        return None

    def _parts(self, dim: int) -> list[slice]:
        """The dimensions of each level."""
        groups = self.settings.groups
        return [p for p in pieces_of(dim, groups) for _ in range(len(self._sizes) // groups)]

    def _groups(self) -> list[tuple[slice, list[Tensor]]]:
        """The dimensions of each group, and its codebooks in those alone."""
        books = self._fitted()
        each = len(books) // self.settings.groups
        return [
            (part, [book[:, part] for book in books[at * each : (at + 1) * each]])
            for at, part in enumerate(pieces_of(books[0].shape[1], self.settings.groups))
        ]

    def _state(self) -> dict[str, Tensor]:
        return {f"codebook_{level}": book for level, book in enumerate(self._fitted())}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        self.codebooks = tuple(state[f"codebook_{level}"] for level in range(len(self._sizes)))

    def _fitted(self) -> tuple[Tensor, ...]:
        if not self.codebooks:
            raise self._not_fitted()
        return tuple(self.codebooks)
