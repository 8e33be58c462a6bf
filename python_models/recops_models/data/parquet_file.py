"""Reading Parquet files in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from recops_models.data.errors import DataError

_READ_AHEAD = 1 << 20


def open_parquet(path: Path) -> pa.parquet.ParquetFile:
    """Open a Parquet file, to be closed by the caller.

    Raises:
        DataError: the file is missing or not readable as Parquet.
    """
    try:
        return pa.parquet.ParquetFile(path, buffer_size=_READ_AHEAD, pre_buffer=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not readable as Parquet ({_line(error)})") from error


def read_pieces(
    path: Path, rows: int, row_groups: Sequence[int], columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the given row groups in order, in pieces of at most ``rows`` rows.

    Raises:
        DataError: as in :func:`open_parquet`, or the file is damaged.
    """
    with open_parquet(path) as file:
        try:
            yield from file.iter_batches(rows, list(row_groups), list(columns), use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path}: damaged ({_line(error)})") from error


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
