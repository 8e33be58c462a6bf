"""Items that a network is fitted to: in memory, or in a file larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recops_models import workers
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers.clustering.points import Points, TensorPoints
from recops_models.tokenizers.clustering.streamed_points import StreamedPoints
from recops_models.tokenizers.methods.autoencoder import VectorMoments
from recops_models.tokenizers.methods.item_task import EVALUATED, ItemBatch, ItemTask, Partners
from recops_models.training.task import with_shares

_BUFFER_BYTES = 64 << 20

Transform = Callable[[Tensor], Tensor]
"""Function of vectors ``[n, D]`` that works row by row."""


class FittedItems(Protocol):
    """Vectors of N items that can be read repeatedly."""

    def __len__(self) -> int:
        """N, the number of items."""
        ...

    def moments(self) -> VectorMoments:
        """Return mean and scale of the vectors."""
        ...

    def task(self, to_scale: Transform, steps: int, batch: int) -> ItemTask:
        """Return a training on random batches of scaled vectors; see :class:`ItemTask`."""
        ...

    def points(self, latents: Transform, device: torch.device) -> Points:
        """Return the latents of the vectors as points to cluster."""
        ...


class ItemsInMemory:
    """Items in memory.

    Args:
        vectors: ``[N, D]`` f32.
        partners: partners for a contrastive loss; None: batches have none.
    """

    def __init__(self, vectors: Tensor, partners: Partners | None = None) -> None:
        self._vectors, self._partners = vectors, partners

    def __len__(self) -> int:
        return len(self._vectors)

    def moments(self) -> VectorMoments:
        """See :meth:`FittedItems.moments`."""
        return VectorMoments.of(self._vectors)

    def task(self, to_scale: Transform, steps: int, batch: int) -> ItemTask:
        """See :meth:`FittedItems.task`."""
        return ItemTask(to_scale(self._vectors), self._partners, steps, batch)

    def points(self, latents: Transform, device: torch.device) -> Points:
        """See :meth:`FittedItems.points`."""
        return TensorPoints(latents(self._vectors).to(device))


class ItemsInFile:
    """Items in a file larger than memory, which is read once per pass.

    Args:
        file: the vectors.
    """

    def __init__(self, file: VectorFile) -> None:
        self._file = file

    def __len__(self) -> int:
        return self._file.num_rows

    def moments(self) -> VectorMoments:
        """See :meth:`FittedItems.moments`; equal to those in memory up to rounding. Two passes."""
        count = self._file.num_rows
        mean = sum(block.sum(axis=0, dtype=np.float64) for block in self._file.vectors())
        mean = np.asarray(mean) / count
        squares = sum(float(((block - mean) ** 2).sum()) for block in self._file.vectors())
        scale = (squares / (count * self._file.dim)) ** 0.5
        return VectorMoments(torch.from_numpy(mean).float(), torch.tensor(scale or 1.0))

    def task(self, to_scale: Transform, steps: int, batch: int) -> ItemTask:
        """See :meth:`FittedItems.task`; one pass draws the sample of the evaluation."""
        sample = StreamedPoints(self._file).sample(EVALUATED, np.random.default_rng(0))
        return StreamedItemTask(to_scale(sample), None, steps, batch, self._file, to_scale)

    def points(self, latents: Transform, device: torch.device) -> Points:
        """See :meth:`FittedItems.points`."""
        return StreamedPoints(self._file, device=device, transform=latents)


@dataclass(frozen=True, eq=False)
class StreamedItemTask(ItemTask):
    """Training on random batches of a file's items.

    Row groups are read in random order by a thread, and rows are shuffled within a buffer of 64 MB.
    After all items, they are drawn again. Files with sorted rows should have many row groups.

    Attributes:
        file: the vectors.
        to_scale: scales vectors.
    """

    file: VectorFile
    to_scale: Transform

    def start_epoch(
        self, model: nn.Module, size: int, *, seed: int, epoch: int, skip: int
    ) -> tuple[int, Iterator[tuple[float, ItemBatch]]]:
        rng = np.random.default_rng((seed, epoch))
        torch_seed = int(rng.integers(2**63))
        batches = islice(self._shuffled(size, rng, workers.share()), skip, self.steps)
        return torch_seed, with_shares(batches, skip, size, self.steps * size)

    def _shuffled(
        self, size: int, rng: np.random.Generator, share: workers.BatchShare
    ) -> Iterator[ItemBatch]:
        """Yield a worker's share of batches, without end."""
        none, remainder = (
            torch.zeros(0, dtype=torch.int64),
            np.empty((0, self.file.dim), np.float32),
        )
        rows = max(size, _BUFFER_BYTES // (4 * self.file.dim))
        while True:
            order = rng.permutation(self.file.num_row_groups).tolist()
            for buffer in _buffers(self.file.vectors(row_groups=order), rows):
                vectors = np.concatenate([remainder, buffer])
                vectors = vectors[rng.permutation(len(vectors))]
                full = len(vectors) // size * size
                for start in range(0, full, size):
                    own = share.of(torch.from_numpy(vectors[start : start + size]))
                    x = self.to_scale(own)
                    yield ItemBatch(x, none, x[:0])
                remainder = vectors[full:]


def _buffers(blocks: Iterator[NDArray[np.float32]], rows: int) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of ``blocks`` in arrays of at least ``rows`` rows, except the last."""
    buffer: list[NDArray[np.float32]] = []
    for block in blocks:
        buffer.append(block)
        if sum(map(len, buffer)) >= rows:
            yield np.concatenate(buffer)
            buffer = []
    if buffer:
        yield np.concatenate(buffer)
