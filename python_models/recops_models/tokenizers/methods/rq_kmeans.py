"""Residual k-means: each level's codebook is fitted to the residuals of the levels before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

import recops
from recops.ops.residual_quantization.nearest_codes import Metric
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.clustering.kmeans import KMeansSettings
from recops_models.tokenizers.clustering.points import Assign, Points, TensorPoints
from recops_models.tokenizers.clustering.residual_kmeans import pieces_of, residual_kmeans
from recops_models.tokenizers.clustering.streamed_points import StreamedPoints
from recops_models.tokenizers.fitting import Fitting


@dataclass(frozen=True)
class RQKMeansSettings(KMeansSettings):
    """Settings of :class:`RQKMeans`, in addition to those of k-means.

    Attributes:
        groups: G, number of equal parts of the dimensions; each has L / G levels.
    """

    groups: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.groups < 1:
            raise ValueError(f"groups must be 1 or more, got {self.groups}")


class RQKMeans(Tokenizer):
    """Residual quantization with k-means codebooks.

    Level l's codebook is the k-means of the residuals r_l, with r₀ = x and r_{l+1} = r_l − c(r_l),
    where c(r) is the codeword nearest to r. The codes of a vector are its semantic ID. With
    ``metric=cosine`` the nearest codeword has the highest cosine, and k-means is spherical.

    With G ``groups``, vectors are split into G parts of D / G dimensions. The first L / G levels
    quantize the first part, the next levels the second, at 1 / G of the cost. The first codes of an
    ID then depend on the first part only.

    Source: the tokenizer of OneRec and QARM (residual k-means); k-means++ start and repair of empty
    codes as in :func:`~recops_models.tokenizers.clustering.kmeans.kmeans`. Groups: faiss' product
    residual quantizer; HiFi-Codec (Yang et al., 2023).

    Raises:
        ValueError: ``groups`` does not divide the levels, or in :meth:`fit` the dimensions.
    """

    method = "rq-kmeans"
    streams = True
    settings_type: ClassVar[type[RQKMeansSettings]] = RQKMeansSettings
    settings: RQKMeansSettings
    codebooks: tuple[Tensor, ...] = ()
    """``[K_l, D]`` float32 per level, zero outside the group's dimensions; empty before a fit."""

    def __init__(
        self,
        levels: int = 3,
        codes: int | Sequence[int] = 256,
        settings: RQKMeansSettings | None = None,
    ) -> None:
        super().__init__(levels, codes, settings)
        if levels % self.settings.groups:
            raise ValueError(
                f"{self._name}: levels must be a multiple of groups {self.settings.groups}, got "
                f"{levels}"
            )

    @property
    def shares_fit(self) -> bool:
        return True

    @property
    def metric(self) -> Metric:
        return self.settings.metric

    def encode(self, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """Return greedy codes; see :meth:`Tokenizer.encode` and :func:`recops.rq_encode`."""
        points = self._check_fitted_width("encode", vectors)
        stacks = [books for _, books in self._groups()]
        codes, _ = recops.rq_encode(points, stacks, metric=self.metric)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Return the sums of codewords; see :meth:`Tokenizer.decode`."""
        return recops.rq_decode(codes, self._fitted())

    def _fit_file(self, file: VectorFile, fitting: Fitting) -> None:
        self._learn(StreamedPoints(file, device=fitting.device), (), fitting)

    def _fit(self, points: Tensor, fitting: Fitting) -> None:
        self._learn(TensorPoints(points.to(fitting.device)), (), fitting)

    def _refit(self, points: Tensor, keep_levels: int, fitting: Fitting) -> None:
        fixed = self._fitted()[:keep_levels]
        if fixed:
            self._check_fitted_width("refit", points)
        self._check_groups(points.shape[1])
        self._learn(TensorPoints(points.to(fitting.device)), fixed, fitting)

    def _check_fit_inputs(self, dim: int, pairs: Tensor | None, weights: Tensor | None) -> None:
        self._check_groups(dim)

    def _check_groups(self, dim: int) -> None:
        if dim % self.settings.groups:
            raise ValueError(
                f"{self._name}: the dimension of vectors must be a multiple of groups "
                f"{self.settings.groups}, got {dim}"
            )

    def _check_fitted_width(self, call: str, vectors: Tensor) -> Tensor:
        points = self._check(call, vectors)
        self._check_width(call, points, self._fitted()[0].shape[1])
        return points

    def _learn(self, points: Points, fixed: tuple[Tensor, ...], fitting: Fitting) -> None:
        groups, dim = self.settings.groups, points.dim
        parts = self._parts(dim)
        books = residual_kmeans(
            points,
            self.vocab_sizes,
            fitting,
            settings=self.settings,
            fixed=[book[:, part] for book, part in zip(fixed, parts, strict=False)],
            assign=self._assignment(points, fitting),
            groups=groups,
            patience=self._patience,
        )
        self.codebooks = tuple(
            functional.pad(book, (part.start, dim - part.stop))
            for book, part in zip(books, parts, strict=True)
        )

    @property
    def _patience(self) -> int:
        """``patience`` of k-means."""
        return 1

    def _assignment(self, points: Points, fitting: Fitting) -> Assign | None:
        """Return the assignment of points to codewords in k-means; None: to the nearest."""
        return None

    def _parts(self, dim: int) -> list[slice]:
        """Return the dimensions of each level."""
        groups = self.settings.groups
        return [p for p in pieces_of(dim, groups) for _ in range(len(self._sizes) // groups)]

    def _groups(self) -> list[tuple[slice, list[Tensor]]]:
        """Return the dimensions of each group, and its codebooks in these dimensions."""
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
