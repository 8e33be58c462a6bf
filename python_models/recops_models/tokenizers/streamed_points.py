"""Points to cluster, read from a file of vectors that need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

import recops
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers.points import Assign


class StreamedPoints:
    """The vectors of a file less the codewords of the levels so far, anew in every pass.

    Args:
        file: is read once a pass.
        codebooks: of the levels before.
    """

    def __init__(self, file: VectorFile, codebooks: tuple[Tensor, ...] = ()) -> None:
        self._file, self._codebooks = file, codebooks

    def __len__(self) -> int:
        return self._file.num_rows

    def pieces(self) -> Iterator[Tensor]:
        for vectors in self._file.vectors():
            yield self._residual(vectors)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
        """Row groups in random order; within one, rows as they stand."""
        order = rng.permutation(self._file.num_row_groups).tolist()
        for vectors in self._file.vectors(size, order):
            yield self._residual(vectors)

    def sample(self, size: int, rng: np.random.Generator) -> Tensor:
        if len(self) <= size:
            return torch.cat(list(self.pieces()))
        rows = np.sort(rng.choice(len(self), size, replace=False))
        found, start = [], 0
        for vectors in self._file.vectors():
            inside = rows[(rows >= start) & (rows < start + len(vectors))]
            if len(inside):
                found.append(self._residual(vectors[inside - start]))
            start += len(vectors)
        return torch.cat(found)

    def left_by(self, codebook: Tensor, assign: Assign) -> StreamedPoints:
        return StreamedPoints(self._file, (*self._codebooks, codebook))

    def _residual(self, vectors: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor:
        residual = torch.from_numpy(vectors)
        for codebook in self._codebooks:
            index, _ = recops.nearest_codes(residual, codebook)
            residual = residual - recops.rq_decode(index, [codebook])
        return residual
