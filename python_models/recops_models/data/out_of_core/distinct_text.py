"""Distinct strings larger than memory, in sorted order, by merged runs on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_BUFFER = 64 << 20
_BLOCK = 1 << 15


class DistinctText:
    """Collector of distinct strings.

    Strings are buffered, and a full buffer becomes a sorted run on disk. n strings of V distinct
    ones take O(n log n) time; memory holds the buffer and one block per run.

    Args:
        path: stem of the files.
        buffer_bytes: bytes of strings at which the buffer is written.
    """

    def __init__(self, path: Path, buffer_bytes: int = _BUFFER) -> None:
        self._path, self._limit = path, buffer_bytes
        self._buffer: list[pa.Array] = []
        self._bytes = 0
        self._runs: list[Path] = []

    def add(self, strings: pa.ChunkedArray) -> None:
        """Add strings; nulls are ignored."""
        unique = pc.unique(strings.drop_null())
        self._buffer.append(unique)
        self._bytes += unique.nbytes
        if self._bytes >= self._limit:
            compact = pc.unique(pa.chunked_array(self._buffer, pa.string()))
            self._buffer, self._bytes = [compact], compact.nbytes
            if 2 * self._bytes >= self._limit:
                self._write_run()

    def finish(self) -> SortedText:
        """Return all distinct strings."""
        self._write_run()
        path = self._path.with_suffix(".sorted")
        length = _write(path, _merge([_blocks(run) for run in self._runs]))
        for run in self._runs:
            run.unlink()
        return SortedText(path, length)

    def _write_run(self) -> None:
        unique = pc.unique(pa.chunked_array(self._buffer, pa.string()))
        run = self._path.with_suffix(f".run{len(self._runs)}")
        ordered = unique.take(pc.array_sort_indices(unique))
        _write(run, (ordered.slice(at, _BLOCK) for at in range(0, len(ordered), _BLOCK)))
        self._runs.append(run)
        self._buffer, self._bytes = [], 0


class SortedText:
    """Distinct strings in a file, in ascending order of their bytes.

    Args:
        path: file that :class:`DistinctText` wrote.
        length: number of strings.
    """

    def __init__(self, path: Path, length: int) -> None:
        self._path, self._length = path, length

    def __len__(self) -> int:
        return self._length

    def blocks(self) -> Iterator[pa.Array]:
        """Yield all strings in order, in blocks."""
        return _blocks(self._path)

    def take(self, rows: NDArray[np.int64]) -> Iterator[pa.Array]:
        """Yield the strings of ascending ``rows [n]``, in blocks."""
        start = 0
        for block in self.blocks():
            first, last = np.searchsorted(rows, [start, start + len(block)])
            if last > first:
                yield block.take(pa.array(rows[first:last] - start))
            start += len(block)


def _write(path: Path, blocks: Iterator[pa.Array]) -> int:
    schema = pa.schema({"text": pa.string()})
    length = 0
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for block in blocks:
            writer.write_batch(pa.record_batch([block], schema=schema))
            length += len(block)
    return length


def _blocks(path: Path) -> Iterator[pa.Array]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)["text"]


def _merge(runs: Sequence[Iterator[pa.Array]]) -> Iterator[pa.Array]:
    """Yield the distinct strings of sorted runs in order.

    All strings up to the smallest last string of the current blocks are known, so they are merged
    at once.
    """
    heads = [(block, run) for run in runs if (block := next(run, None)) is not None]
    while heads:
        bound = min((block[-1] for block, _ in heads), key=lambda last: last.as_py())
        parts, remaining = [], []
        for block, run in heads:
            count = pc.sum(pc.less_equal(block, bound)).as_py()
            parts.append(block.slice(0, count))
            remainder = block.slice(count) if count < len(block) else next(run, None)
            if remainder is not None:
                remaining.append((remainder, run))
        merged = pc.unique(pa.chunked_array(parts))
        yield merged.take(pc.array_sort_indices(merged))
        heads = remaining
