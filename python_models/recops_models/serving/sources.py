"""Where events come from: batches of what a center's ``ingest`` takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.serving.event_lines import EventLines

_PACKED = {b"\x1f\x8b": "gzip", b"(\xb5/\xfd": "zstd", b"PK": "zip"}
"""By the first bytes, in what no event begins."""


def file_events(path: Path, *, batch: int) -> Iterator[list[object]]:
    """The events of a file: Parquet by its first bytes, else a JSON object a line. Never read
    whole.

    Raises:
        DataError: it is not there, compressed, or no Parquet despite its name.
    """
    if _is_parquet(path):
        return _parquet(path, batch)
    return EventLines(path).more(batch=batch, ended=True)


def growing_events(path: Path, *, batch: int) -> Callable[[], Iterator[list[object]]]:
    """:func:`file_events` of a file to which lines may be appended: each call gives those that
    there were not before. Parquet is read once.

    Raises:
        DataError: as of :func:`file_events`.
    """
    if _is_parquet(path):
        once = _parquet(path, batch)
        return lambda: once
    return partial(EventLines(path).more, batch=batch)


def _is_parquet(path: Path) -> bool:
    if not path.is_file():
        raise DataError(f"{path}: no such file of events")
    with path.open("rb") as file:
        head = file.read(4)
    for first, name in _PACKED.items():
        if head.startswith(first):
            raise DataError(f"{path}: must be JSON lines or Parquet, got {name}: unpack it first")
    return head == b"PAR1" or path.suffix == ".parquet"


def dataset_events(dataset: Dataset, *, batch: int) -> Iterator[list[object]]:
    """The events of a data set in their order, each with its user's counter, from 1.

    Ids are those of the source. Columns that the items have as well are left out, since training
    reads them of the items. O(users) of memory.
    """
    of_items = {name for name in dataset.items.column_names if name != "item_id"}
    columns = [name for name in dataset.interactions.column_names if name not in of_items]
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
