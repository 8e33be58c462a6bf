"""Examples from a Parquet file larger than memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from recops_models.examples.batch import Batch
from recops_models.examples.block import Block
from recops_models.examples.encode import encode
from recops_models.examples.features import FittedSchema
from recops_models.examples.loader import BlockRows, check_batches, cut, gather
from recops_models.examples.parquet_rows import ParquetRows
from recops_models.examples.prefetch import ordered_map
from recops_models.examples.row_faults import RowFaults


def _same(buffer: list[Block]) -> list[Block]:
    return buffer


class StreamSource:
    """Examples read from a Parquet file as they are asked for.

    With a seed, row groups come in shuffled order and their rows are shuffled within a buffer,
    which is cut into batches by length. In memory are two buffers, one being filled while the other
    is used, and a few batches. A file whose rows have an order should have many row groups.

    Args:
        rows: the file.
        fitted: the features.
        num_examples: the file's good rows.
        buffer_bytes: a buffer is full when its encoded rows pass this.
    """

    def __init__(
        self, rows: ParquetRows, fitted: FittedSchema, num_examples: int, buffer_bytes: int
    ) -> None:
        self._rows, self._fitted = rows, fitted
        self._num_examples = num_examples
        self._buffer_bytes = buffer_bytes

    @property
    def num_examples(self) -> int:
        """Good rows."""
        return self._num_examples

    def batches(
        self, batch: int, *, seed: int | None, epoch: int = 0, skip: int = 0, workers: int = 0
    ) -> Iterator[Batch]:
        """See :class:`~recops_models.examples.loader.Source`. Skipped batches are read too."""
        check_batches(batch, epoch, skip)
        return gather(self._cuts(batch, seed, epoch, workers), skip, workers)

    def _cuts(self, batch: int, seed: int | None, epoch: int, workers: int) -> Iterator[BlockRows]:
        rng = None if seed is None else np.random.default_rng((seed, epoch))
        groups = None if rng is None else rng.permutation(self._rows.num_row_groups).tolist()
        rest: list[Block] = []
        # A worker of its own fills the next buffer while the batches of this one are gathered.
        filled = ordered_map(
            _same, self._buffers(groups, workers), workers=min(workers, 1), ahead=1
        )
        for buffer in filled:
            block = Block.concatenate([*rest, *buffer])
            buffer.clear()
            rest = []
            for rows in cut(block.lengths, batch, rng):
                if len(rows) == batch:
                    yield block, rows
                else:
                    rest = [block.take(rows)]
            del block
        for block in rest:
            yield block, np.arange(len(block))

    def _buffers(self, groups: list[int] | None, workers: int) -> Iterator[list[Block]]:
        buffer: list[Block] = []
        for block in ordered_map(self._encode, self._rows.pieces(groups), workers=workers):
            buffer.append(block)
            if sum(block.nbytes for block in buffer) >= self._buffer_bytes:
                yield buffer  # Whoever takes it empties it.
                buffer = []
        if buffer:
            yield buffer

    def _encode(self, piece: pa.RecordBatch) -> Block:
        faults = RowFaults(self._rows.path.name, self._fitted.schema)
        return encode(faults.sieve(piece), self._fitted)
