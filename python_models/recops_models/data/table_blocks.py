"""Tables cut into blocks of equal length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa


def of_length(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield the rows of ``tables`` in tables of ``rows`` rows; the last one may be shorter."""
    buffer: list[pa.Table] = []
    held = 0
    for table in tables:
        buffer.append(table)
        held += table.num_rows
        if held >= rows:
            joined = pa.concat_tables(buffer)
            for start in range(0, held - rows + 1, rows):
                yield joined.slice(start, rows)
            buffer = [joined.slice(held - held % rows)]
            held %= rows
    if held:
        yield pa.concat_tables(buffer)
