"""Where events come from: batches of what a center's ``ingest`` takes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.serving.errors import FieldError

MOST_EVENT_BYTES = 1 << 20
"""Of an event's JSON."""


def event_of_json(text: bytes) -> object:
    """What the JSON of an event says; an error where it is none, for the center to count."""
    if len(text) > MOST_EVENT_BYTES:
        return FieldError("event", f"must be at most {MOST_EVENT_BYTES:,} bytes, got {len(text):,}")
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        return FieldError("event", f"must be JSON ({error})")
    return found


def file_events(path: Path, *, batch: int) -> Iterator[list[object]]:
    """The events of a file: Parquet by its name, else a JSON object a line. Never read whole.

    Raises:
        DataError: it is not there, or no Parquet.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file of events")
    return _parquet(path, batch) if path.suffix == ".parquet" else _lines(path, batch)


def dataset_events(dataset: Dataset, *, batch: int) -> Iterator[list[object]]:
    """The events of a data set in their order, each with its user's counter, from 1.

    Ids are those of the source. O(users) of memory.
    """
    events = dataset.interactions
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


def _lines(path: Path, batch: int) -> Iterator[list[object]]:
    with path.open("rb") as file:
        lines = (line for line in file if line.strip())
        while part := list(islice(lines, batch)):
            yield [event_of_json(line) for line in part]


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
