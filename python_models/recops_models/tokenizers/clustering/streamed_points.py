"""Points to cluster, read from a file larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import recops
from recops_models import workers
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers.clustering.points import Assign
from recops_models.training.device import HOST


class StreamedPoints:
    """Residuals of a file's vectors after some levels, computed in each pass.

    Args:
        file: read once per pass.
        levels: codebook and assignment of each level before.
        dims: dimensions of the vectors to use.
        device: where the residuals are computed.
        transform: function of each block of vectors, such as an encoder; None: the vectors.
    """

    def __init__(
        self,
        file: VectorFile,
        levels: tuple[tuple[Tensor, Assign], ...] = (),
        dims: slice = slice(None),
        *,
        device: torch.device = HOST,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._file, self._levels, self._dims, self._device = file, levels, dims, device
        self._transform = transform

    @property
    def dim(self) -> int:
        if self._transform is None:
            return len(range(self._file.dim)[self._dims])
        return self._transform(torch.zeros(1, self._file.dim))[:, self._dims].shape[1]

    def __len__(self) -> int:
        return self._file.num_rows

    def pieces(self) -> Iterator[Tensor]:
        for vectors in self._file.vectors():
            yield self._residual(_share(vectors))

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
        """Yield row groups in random order; rows within one keep their order."""
        order = rng.permutation(self._file.num_row_groups).tolist()
        for vectors in self._file.vectors(size, order):
            yield self._residual(_share(vectors))

    def sample(self, size: int, rng: np.random.Generator) -> Tensor:
        if len(self) <= size:
            return torch.cat([self._residual(vectors) for vectors in self._file.vectors()])
        rows = np.sort(rng.choice(len(self), size, replace=False))
        parts, start = [], 0
        for vectors in self._file.vectors():
            inside = rows[(rows >= start) & (rows < start + len(vectors))]
            if len(inside):
                parts.append(self._residual(vectors[inside - start]))
            start += len(vectors)
        return torch.cat(parts)

    def subtract_codewords(self, codebook: Tensor, assign: Assign) -> StreamedPoints:
        levels = (*self._levels, (codebook, assign))
        return self._changed(levels, self._dims)

    def within(self, dims: slice) -> StreamedPoints:
        return self._changed((), dims)

    def _changed(self, levels: tuple[tuple[Tensor, Assign], ...], dims: slice) -> StreamedPoints:
        return StreamedPoints(
            self._file, levels, dims, device=self._device, transform=self._transform
        )

    def _residual(self, vectors: NDArray[np.float32]) -> Tensor:
        points = torch.from_numpy(vectors)
        points = points if self._transform is None else self._transform(points)
        residual = points[:, self._dims].contiguous().to(self._device)
        for codebook, assign in self._levels:
            index, _ = assign(residual, codebook)
            residual = residual - recops.rq_decode(index[:, None], [codebook])
        return residual


def _share(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return this worker's rows of a block."""
    return vectors[workers.share().of(np.arange(len(vectors)))] if workers.several() else vectors
