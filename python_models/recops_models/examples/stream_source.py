"""Source of examples in a Parquet file larger than memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from recops_models.data.prefetch import ordered_map
from recops_models.examples.batch import Batch
from recops_models.examples.block import Block
from recops_models.examples.encode import encode
from recops_models.examples.features import FittedSchema
from recops_models.examples.loader import BlockRows, check_batches, cut, gather
from recops_models.examples.parquet_rows import ParquetRows
from recops_models.examples.row_faults import RowFaults
from recops_models.workers import ALL, BatchShare


def _identity(buffer: list[Block]) -> list[Block]:
    return buffer


class StreamSource:
    """Examples that are read from a Parquet file during iteration.

    With a seed, row groups are shuffled, and rows are shuffled within a buffer, which is cut into
    batches of similar length. Memory holds two buffers, one being filled and one in use, and a few
    batches. Files with sorted rows should have many row groups.

    Args:
        rows: the file.
        fitted: fitted schema of the features.
        num_examples: number of valid rows of the file.
        buffer_bytes: size of the encoded rows at which a buffer is full.
    """

    def __init__(
        self, rows: ParquetRows, fitted: FittedSchema, num_examples: int, buffer_bytes: int
    ) -> None:
        self._rows, self._fitted = rows, fitted
        self._num_examples = num_examples
        self._buffer_bytes = buffer_bytes

    @property
    def num_examples(self) -> int:
        """Number of valid rows."""
        return self._num_examples

    def batches(
        self,
        batch: int,
        *,
        seed: int | None,
        epoch: int = 0,
        skip: int = 0,
        workers: int = 0,
        share: BatchShare = ALL,
    ) -> Iterator[Batch]:
        """Yield all examples in batches; see :class:`~recops_models.examples.loader.Source`.

        Skipped batches and the rows of other shares are also read.
        """
        check_batches(batch, epoch, skip)
        return gather(self._cuts(batch, seed, epoch, workers), skip, workers, share)

    def _cuts(self, batch: int, seed: int | None, epoch: int, workers: int) -> Iterator[BlockRows]:
        rng = None if seed is None else np.random.default_rng((seed, epoch))
        groups = None if rng is None else rng.permutation(self._rows.num_row_groups).tolist()
        remainder: list[Block] = []
        # A separate thread fills the next buffer while the batches of this one are gathered.
        buffers = ordered_map(
            _identity, self._buffers(groups, workers), workers=min(workers, 1), ahead=1
        )
        for buffer in buffers:
            block = Block.concatenate([*remainder, *buffer])
            buffer.clear()
            remainder = []
            for rows in cut(block.lengths, batch, rng):
                if len(rows) == batch:
                    yield block, rows
                else:
                    remainder = [block.take(rows)]
            del block
        for block in remainder:
            yield block, np.arange(len(block))

    def _buffers(self, groups: list[int] | None, workers: int) -> Iterator[list[Block]]:
        buffer: list[Block] = []
        for block in ordered_map(self._encode, self._rows.pieces(groups), workers=workers):
            buffer.append(block)
            if sum(block.nbytes for block in buffer) >= self._buffer_bytes:
                yield buffer  # The consumer clears it.
                buffer = []
        if buffer:
            yield buffer

    def _encode(self, piece: pa.RecordBatch) -> Block:
        faults = RowFaults(self._rows.path.name, self._fitted.schema)
        return encode(faults.valid_rows(piece), self._fitted)
