"""Folder of sequences from a data set, written in bounded memory.

Interactions are sorted by user in runs on disk, and every user's events become a row of each part
(:mod:`recops_models.examples.sequence_folder`). Memory holds the items, the ids of users, a run of
two million events, and the longest history. Temporary files have the size of the interactions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from recops.files import CorruptFileError, file_digest
from recops_models.callbacks import Callbacks
from recops_models.data.dataset import Dataset, entity_keys
from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array
from recops_models.data.out_of_core.sorted_runs import sorted_events
from recops_models.data.parquet_file import open_parquet, read_pieces
from recops_models.data.sets import load
from recops_models.data.splits import PARTS
from recops_models.data.storage import is_saved, read_properties, read_table
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.sequence_folder import SEQUENCES

SequenceSplit: TypeAlias = Literal["leave-one-out", "global-time"]

_SPLITS = ("leave-one-out", "global-time")
_SHARES = (0.8, 0.9)
"""Shares of the events before validation and before test, with ``"global-time"``."""
_PIECE = 1 << 17
_BLOCK = 1 << 18
"""Events of a block of users, at least."""
_ROW_GROUP = 1 << 14


class _Source(NamedTuple):
    """Data set whose interactions are read in pieces.

    Attributes:
        name: name of the data set.
        time: meaning of the times.
        repeats: treatment of repeats.
        items: table of the items.
        users: ids of the users in the source, by index.
        user_ids: their numbers.
        num_events: number of interactions.
        events: yields them in time order.
    """

    name: str
    time: str
    repeats: str
    items: pa.Table
    users: pa.ChunkedArray
    user_ids: Vocabulary
    num_events: int
    events: Callable[[], Iterator[pa.Table]]


@dataclass(frozen=True)
class SequenceNumbers:
    """Numbers of rows that were written, by part."""

    train: int
    validation: int
    test: int


def write_sequences(
    data: Dataset | str | Path,
    folder: Path,
    *,
    split: SequenceSplit = "leave-one-out",
    callbacks: Callbacks | None = None,
) -> SequenceNumbers:
    """Write a data set as a folder of sequences, one row per user and part.

    A training row has all training events of a user. A held-out row has all events before the part,
    and the first event of the part. All columns of the interactions become columns of lists.

    Args:
        data: a data set; or the name or folder of one. The interactions of a folder that ``recops
            data import`` wrote are not held in memory.
        folder: where to write, created if missing; sequences in it are replaced.
        split: ``"leave-one-out"``: the last event of a user with three or more is test, and the one
            before validation. ``"global-time"``: the last tenth of the events is test, the tenth
            before it validation.
        callbacks: receive the stages ``sort`` and ``write``.

    Raises:
        CorruptFileError: a file of ``data`` is damaged.
        DataError: the data is missing or cannot be split.
        ValueError: unknown split.

    Example:
        >>> import tempfile
        >>> import recops_models as rm
        >>> log = {"user_id": list("aaabbb"), "item_id": [1, 2, 3, 2, 3, 4]}
        >>> log["timestamp"] = [0, 1, 2, 0, 1, 2]
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_sequences(rm.Dataset.from_frames(log), folder)
        SequenceNumbers(train=2, validation=2, test=2)
    """
    if split not in _SPLITS:
        raise ValueError(f"write_sequences: no split {split!r}; available: {', '.join(_SPLITS)}")
    callbacks = callbacks or Callbacks()
    source = _source(data)
    part_of = _leave_one_out if split == "leave-one-out" else _global_time(source)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SEQUENCES).unlink(missing_ok=True)  # Written last: an unfinished folder has none.
    keys = source.items["item_key" if "item_key" in source.items.column_names else "item_id"]
    others = [name for name in source.items.column_names if name not in ("item_id", "item_key")]
    items = source.items.select(others).add_column(0, "item_id", keys)
    pa.parquet.write_table(items, folder / "items.parquet")
    writer = _PartWriter(folder, source, keys.combine_chunks())
    with TemporaryDirectory(prefix=".sequences-", dir=folder) as scratch:
        callbacks.start("sort")
        num_written = 0
        for block in _blocks_of_users(_by_user(source, Path(scratch))):
            if not num_written:
                callbacks.start("write")
            writer.write(block, part_of(block))
            num_written += block.num_rows
            callbacks.advance(num_written / source.num_events)
    numbers = writer.finish()
    for part in PARTS:
        if not getattr(numbers, part):
            raise DataError(f"{source.name}: split {split} gives no {part} sequence")
    (folder / SEQUENCES).write_text(json.dumps({"repeats": source.repeats}) + "\n")
    return numbers


def _source(data: Dataset | str | Path) -> _Source:
    if not isinstance(data, Dataset) and Path(data).is_dir() and is_saved(Path(data)):
        return _saved(Path(data))
    dataset = data if isinstance(data, Dataset) else load(data)
    return _Source(
        dataset.name,
        dataset.time,
        dataset.repeats,
        dataset.items,
        entity_keys(dataset, "user"),
        dataset.user_vocabulary,
        dataset.interactions.num_rows,
        lambda: iter([dataset.interactions]),
    )


def _saved(folder: Path) -> _Source:
    """Return a data set that ``recops data import`` wrote; its interactions stay on disk."""
    properties = read_properties(folder)
    path = folder / "interactions.parquet"
    if file_digest(path) != properties["tables"]["interactions"]:
        raise CorruptFileError(
            f"{path}: does not belong to the import of dataset.json; run `recops data import` again"
        )
    users = read_table(folder / "users.parquet")
    with open_parquet(path) as file:
        num_events, groups = file.metadata.num_rows, range(file.metadata.num_row_groups)
        names = file.schema_arrow.names

    def events() -> Iterator[pa.Table]:
        for piece in read_pieces(path, _PIECE, groups, names):
            yield pa.Table.from_batches([piece]).replace_schema_metadata(None)

    return _Source(
        properties["name"],
        properties["time"],
        properties.get("repeats", "drop"),
        read_table(folder / "items.parquet"),
        users["user_key" if "user_key" in users.column_names else "user_id"],
        Vocabulary(users["user_id"].to_numpy().copy()),
        num_events,
        events,
    )


def _by_user(source: _Source, scratch: Path) -> Iterator[pa.Table]:
    """Yield all events by user, in the order of time."""
    return sorted_events(source.events(), scratch, by="user_id")


def _blocks_of_users(events: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield events that are sorted by user in blocks with all events of their users."""
    held: list[pa.Table] = []
    for table in events:
        held.append(table)
        if sum(each.num_rows for each in held) < _BLOCK:
            continue
        block = pa.concat_tables(held)
        user = block["user_id"].to_numpy()
        complete = int(np.searchsorted(user, user[-1]))
        if complete:
            yield block.slice(0, complete).combine_chunks()
        held = [block.slice(complete)]
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _leave_one_out(block: pa.Table) -> Int64Array:
    """Return the part of each event: 0 train, 1 validation, 2 test."""
    user = block["user_id"].to_numpy()
    first, last = (np.searchsorted(user, user, side=side) for side in ("left", "right"))
    held_out = np.clip(3 - (last - np.arange(len(user))), 0, 2)
    return np.where(last - first >= 3, held_out, 0)


def _global_time(source: _Source) -> Callable[[pa.Table], Int64Array]:
    """Return the function from a block to the part of each event, by time."""
    if source.time != "seconds":
        raise DataError(f"{source.name}: a time split needs times in seconds")
    rows = [int(source.num_events * share) for share in _SHARES]
    bounds: list[int] = []
    start = 0
    for table in source.events():
        times = table["timestamp"]
        bounds += [times[row - start].as_py() for row in rows if start <= row < start + len(times)]
        start += len(times)
    return lambda block: (block["timestamp"].to_numpy()[:, None] >= np.array(bounds)).sum(1)


class _PartWriter:
    """Writer of the Parquet files of all parts.

    Args:
        folder: an existing folder.
        source: the data set.
        item_keys: ids of the items in the source, by index.
    """

    def __init__(self, folder: Path, source: _Source, item_keys: pa.Array) -> None:
        self._folder, self._source, self._item_keys = folder, source, item_keys
        self._items = Vocabulary(source.items["item_id"].to_numpy().copy())
        self._writers: dict[str, pa.parquet.ParquetWriter] = {}
        self._numbers = dict.fromkeys(PARTS, 0)

    def write(self, block: pa.Table, part: Int64Array) -> None:
        """Write the rows of a block of users.

        Args:
            block: their events by user, in the order of time.
            part: ``[E]``, part of each event.
        """
        user = block["user_id"].to_numpy()
        for number, name in enumerate(PARTS):
            chosen = part == number
            if number:  # The first event of the part, after all earlier ones.
                own = np.flatnonzero(chosen)
                targets = own[np.unique(user[own], return_index=True)[1]]
                with_history = np.intersect1d(user[targets], user[part < number])
                chosen = part < number
                chosen[targets] = True
                chosen &= np.isin(user, with_history)
            rows = np.flatnonzero(chosen)
            if len(rows):
                self._write(name, block.take(pa.array(rows)))

    def finish(self) -> SequenceNumbers:
        """Close the files, and return the numbers of their rows."""
        for writer in self._writers.values():
            writer.close()
        return SequenceNumbers(**self._numbers)

    def _write(self, part: str, events: pa.Table) -> None:
        ids, starts = np.unique(events["user_id"].to_numpy(), return_index=True)
        offsets = pa.array(np.append(starts, events.num_rows).astype(np.int32))
        users = self._source.users.take(pa.array(self._source.user_ids.index(ids)))
        index = self._items.index(events["item_id"].to_numpy())
        columns = {"user_id": users.combine_chunks(), "item_id": self._item_keys.take(index)}
        others = (name for name in events.column_names if name not in columns)
        columns |= {name: events[name].combine_chunks() for name in others}
        lists = {
            name: column if name == "user_id" else pa.ListArray.from_arrays(offsets, column)
            for name, column in columns.items()
        }
        table = pa.table(lists)
        if part not in self._writers:
            path = self._folder / f"{part}.parquet"
            self._writers[part] = pa.parquet.ParquetWriter(path, table.schema)
        self._writers[part].write_table(table, row_group_size=_ROW_GROUP)
        self._numbers[part] += table.num_rows
