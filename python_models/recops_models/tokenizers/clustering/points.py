"""Points to cluster: in memory, or read piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

import recops

Assign: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of points ``[N, D]`` and a codebook ``[K, D]``: each point's code ``[N]`` int32, and its error
``[N]`` there: its squared distance from that codeword, by default."""


def nearest(points: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Every point to its nearest codeword."""
    index, distance = recops.nearest_codes(points, codebook)
    return index[:, 0], distance[:, 0]


def nearest_by_cosine(points: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Every point to the codeword of the most like direction; the error is ``‖x‖ (1 − cos)``."""
    index, distance = recops.nearest_codes(points, codebook, metric="cosine")
    return index[:, 0], torch.linalg.vector_norm(points, dim=1) * distance[:, 0] / 2


NEAREST: dict[str, Assign] = {"l2": nearest, "cosine": nearest_by_cosine}
"""By metric."""


class Points(Protocol):
    """N points of D dimensions that can be gone through again and again."""

    @property
    def dim(self) -> int:
        """D."""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def pieces(self) -> Iterator[Tensor]:
        """All of them, ``[n, D]`` float32 at a time, in the same order every time."""
        ...

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
        """All of them in random order, ``size`` at a time."""
        ...

    def sample(self, size: int, rng: np.random.Generator) -> Tensor:
        """``size`` of them, or all if there are no more, in order."""
        ...

    def left_by(self, codebook: Tensor, assign: Assign) -> Self:
        """The points less the codewords that they are assigned to."""
        ...

    def within(self, dims: slice) -> Self:
        """The points in some of their dimensions alone."""
        ...


class TensorPoints:
    """Points in memory, as one piece."""

    def __init__(self, points: Tensor) -> None:
        self._points = points

    @property
    def dim(self) -> int:
        return self._points.shape[1]

    def __len__(self) -> int:
        return len(self._points)

    def pieces(self) -> Iterator[Tensor]:
        yield self._points

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
        for rows in torch.from_numpy(rng.permutation(len(self))).split(size):
            yield self._points[rows]

    def sample(self, size: int, rng: np.random.Generator) -> Tensor:
        if len(self) <= size:
            return self._points
        rows = np.sort(rng.choice(len(self), size, replace=False))
        return self._points[torch.from_numpy(rows)]

    def left_by(self, codebook: Tensor, assign: Assign) -> TensorPoints:
        index, _ = assign(self._points, codebook)
        return TensorPoints(self._points - recops.rq_decode(index[:, None], [codebook]))

    def within(self, dims: slice) -> TensorPoints:
        return TensorPoints(self._points[:, dims].contiguous())
