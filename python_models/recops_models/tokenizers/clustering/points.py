"""Points to cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

import recops
from recops_models import workers

Assign: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps points ``[N, D]`` and a codebook ``[K, D]`` to codes ``[N]`` int32 and errors ``[N]``."""


def nearest(points: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Assign each point to its nearest codeword; the error is the squared distance."""
    index, distance = recops.nearest_codes(points, codebook)
    return index[:, 0], distance[:, 0]


def nearest_by_cosine(points: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Assign each point to the codeword of highest cosine; the error is ``‖x‖ (1 − cos)``."""
    index, distance = recops.nearest_codes(points, codebook, metric="cosine")
    return index[:, 0], torch.linalg.vector_norm(points, dim=1) * distance[:, 0] / 2


NEAREST: dict[str, Assign] = {"l2": nearest, "cosine": nearest_by_cosine}
"""Assignments to the nearest codeword, by metric."""


class Points(Protocol):
    """N points of D dimensions that can be read repeatedly."""

    @property
    def dim(self) -> int:
        """D, the number of dimensions."""
        ...

    def __len__(self) -> int:
        """N, the number of points."""
        ...

    def pieces(self) -> Iterator[Tensor]:
        """Yield all points in blocks ``[n, D]`` float32, always in the same order.

        With several workers, each gets its share of every block, here and in :meth:`batches`.
        """
        ...

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
        """Yield all points in random order, in blocks of at most ``size``."""
        ...

    def sample(self, size: int, rng: np.random.Generator) -> Tensor:
        """Return ``size`` random points in order, or all if there are fewer."""
        ...

    def subtract_codewords(self, codebook: Tensor, assign: Assign) -> Self:
        """Return the points minus their assigned codewords."""
        ...

    def within(self, dims: slice) -> Self:
        """Return the points restricted to some dimensions."""
        ...


class TensorPoints:
    """Points in memory, in one block."""

    def __init__(self, points: Tensor) -> None:
        self._points = points

    @property
    def dim(self) -> int:
        return self._points.shape[1]

    def __len__(self) -> int:
        return len(self._points)

    def pieces(self) -> Iterator[Tensor]:
        yield workers.share().of(self._points)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
        order = torch.from_numpy(rng.permutation(len(self))).to(self._points.device)
        for rows in order.split(size):
            yield self._points[workers.share().of(rows)]

    def sample(self, size: int, rng: np.random.Generator) -> Tensor:
        if len(self) <= size:
            return self._points
        rows = np.sort(rng.choice(len(self), size, replace=False))
        return self._points[torch.from_numpy(rows).to(self._points.device)]

    def subtract_codewords(self, codebook: Tensor, assign: Assign) -> TensorPoints:
        index, _ = assign(self._points, codebook)
        return TensorPoints(self._points - recops.rq_decode(index[:, None], [codebook]))

    def within(self, dims: slice) -> TensorPoints:
        return TensorPoints(self._points[:, dims].contiguous())
