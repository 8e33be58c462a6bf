"""Batches of events from files and data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.serving.event_lines import EventLines

_COMPRESSED = {b"\x1f\x8b": "gzip", b"(\xb5/\xfd": "zstd", b"PK": "zip"}
"""Compression formats by their magic bytes. No event starts with these bytes."""


def file_events(path: Path, *, batch: int) -> Iterator[list[object]]:
    """Yield batches of the events of a Parquet or JSON lines file.

    The file's first bytes or its suffix select the format. Only one batch is in memory at a time.

    Raises:
        DataError: the file does not exist, is compressed, or is not valid Parquet.
    """
    if _is_parquet(path):
        return _parquet(path, batch)
    return EventLines(path).read_new(batch=batch, ended=True)


def growing_events(path: Path, *, batch: int) -> Callable[[], Iterator[list[object]]]:
    """Return a function whose calls yield the events that were appended since the last call.

    Only JSON lines files can grow; a Parquet file is read once.

    Raises:
        DataError: see :func:`file_events`.
    """
    if _is_parquet(path):
        once = _parquet(path, batch)
        return lambda: once
    return partial(EventLines(path).read_new, batch=batch)


def _is_parquet(path: Path) -> bool:
    if not path.is_file():
        raise DataError(f"{path}: no such file of events")
    with path.open("rb") as file:
        head = file.read(4)
    for first, name in _COMPRESSED.items():
        if head.startswith(first):
            raise DataError(f"{path}: must be JSON lines or Parquet, got {name}: unpack it first")
    return head == b"PAR1" or path.suffix == ".parquet"


def dataset_events(dataset: Dataset, *, batch: int) -> Iterator[list[object]]:
    """Yield batches of the events of a data set in order, with sequence numbers from 1 per user.

    The ids are those of the data set's source. Columns that the item table also has are left out,
    because training reads them from there. O(users) memory.
    """
    item_columns = {name for name in dataset.items.column_names if name != "item_id"}
    columns = [name for name in dataset.interactions.column_names if name not in item_columns]
    events = dataset.interactions.select(columns)
    names = {}
    for entity, table in (("user", dataset.users), ("item", dataset.items)):
        if f"{entity}_key" in table.column_names:
            ids, keys = table[f"{entity}_id"].to_pylist(), table[f"{entity}_key"].to_pylist()
            names[f"{entity}_id"] = dict(zip(ids, keys, strict=True))
    seqs: Counter[int] = Counter()
    for part in events.to_batches(max_chunksize=batch):
        rows = part.to_pylist()
        for row in rows:
            seqs[row["user_id"]] += 1
            row["seq"] = seqs[row["user_id"]]
            for column, keys in names.items():
                row[column] = keys[row[column]]
        yield rows


def _parquet(path: Path, batch: int) -> Iterator[list[object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for part in file.iter_batches(batch_size=batch, use_threads=False):
                yield [
                    {name: value for name, value in row.items() if value is not None}
                    for row in part.to_pylist()
                ]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: {error}") from error
