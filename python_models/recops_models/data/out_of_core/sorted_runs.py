"""External merge sort of events by time or user; ties stay in the order of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.table_blocks import of_length

_RUN = 1 << 21
_BLOCK = 1 << 15


def sorted_events(
    events: Iterator[pa.Table], folder: Path, *, by: str = "timestamp"
) -> Iterator[pa.Table]:
    """Yield all events in ascending order of a column, in tables of any length.

    Events are sorted in runs of two million rows. The runs are written to ``folder``, merged in one
    pass and deleted. O(n log n); memory holds one run, or one block of 32,768 rows per run.

    Args:
        events: tables of the same schema.
        folder: existing folder for the runs.
        by: column of integers.
    """
    paths: list[Path] = []
    for number, run in enumerate(of_length(events, _RUN)):
        path = folder / f"events{number}"
        run = run.combine_chunks()
        order = np.argsort(run[by].to_numpy(), kind="stable")
        write_tables(path, run.schema, [run.take(pa.array(order))])
        paths.append(path)
    yield from _merge([read_tables(path) for path in paths], by)
    for path in paths:
        path.unlink()


def write_tables(path: Path, schema: pa.Schema, tables: Sequence[pa.Table]) -> None:
    """Write tables to an Arrow file, in blocks of 32,768 rows."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for table in tables:
            writer.write_table(table, max_chunksize=_BLOCK)


def read_tables(path: Path) -> Iterator[pa.Table]:
    """Yield the blocks of an Arrow file."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        for index in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(index)])


def _merge(runs: Sequence[Iterator[pa.Table]], by: str) -> Iterator[pa.Table]:
    """Yield the events of sorted runs in order; of equal values, an earlier run's come first.

    Each step yields what no later block can precede: all events before the smallest last value of
    the current blocks, and of that value those of the first run that has it and of earlier runs.
    """
    heads = [(block, run) for run in runs if (block := next(run, None)) is not None]
    while heads:
        values = [block[by].to_numpy() for block, _ in heads]
        first = int(np.argmin([value[-1] for value in values]))
        parts, remaining = [], []
        for index, (block, run) in enumerate(heads):
            count = _ready(values[index], values[first][-1], ties=index <= first)
            parts.append(block.slice(0, count))
            remainder = block.slice(count) if count < block.num_rows else next(run, None)
            if remainder is not None:
                remaining.append((remainder, run))
        merged = pa.concat_tables(parts)
        yield merged.take(pa.array(np.argsort(merged[by].to_numpy(), kind="stable")))
        heads = remaining


def _ready(values: NDArray[np.int64], bound: np.int64, *, ties: bool) -> int:
    return int(np.searchsorted(values, bound, side="right" if ties else "left"))
