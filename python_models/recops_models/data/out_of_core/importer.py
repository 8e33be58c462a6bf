"""Import of a user's own tables into a data set folder, in bounded memory.

Interactions are read in blocks and never held as a whole:

1. A first pass numbers string ids (:mod:`~recops_models.data.out_of_core.survey`).
2. A second pass parses and checks every row, and writes the valid ones to disk twice: in their
   order, and partitioned by user and item to find repeated rows.
3. The valid rows are sorted by time in runs on disk, merged and written.

Memory holds the items and users files, 16 bytes per string id, 8 to 24 bytes per user and item, one
bit per row, and buffers of a few hundred megabytes. Temporary files take about 80 bytes per row.
The result has the same bits as :func:`~recops_models.data.assemble.assemble` and
:func:`~recops_models.data.storage.save_dataset`.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.callbacks import Callbacks
from recops_models.data.assemble import entity_table, notes_on_events, read_entities, unused_note
from recops_models.data.categories import with_integer_categories
from recops_models.data.checks import RawTable, RowCheck, plain_table, with_columns
from recops_models.data.column_names import check_mapped, check_present, has_times, renamed
from recops_models.data.column_roles import is_list
from recops_models.data.dataset import Dataset, Repeats
from recops_models.data.errors import DataError
from recops_models.data.events import FIRST, OPTIONAL, REPETITION, parse_events, shown_columns
from recops_models.data.histories import AnyArray
from recops_models.data.ids import IdKind, IdReader
from recops_models.data.importers.folder import (
    name_of,
    read_table_file,
    separator_of,
    table_files,
    text_columns,
)
from recops_models.data.out_of_core.interactions import Interactions, ParquetTable, TableFile
from recops_models.data.out_of_core.sorted_runs import sorted_events
from recops_models.data.out_of_core.survey import id_readers, kept_columns
from recops_models.data.out_of_core.text_table import TextTable
from recops_models.data.out_of_core.valid_events import RowCounts, ValidEvents
from recops_models.data.own_tables import REQUIRED, ROW_ORDER_NOTE
from recops_models.data.repeats import treated
from recops_models.data.report import BadRows, ImportReport
from recops_models.data.storage import DatasetWriter
from recops_models.data.table_options import TableOptions
from recops_models.data.vocabulary import Vocabulary
from recops_models.settings import JsonObject

_SCRATCH = ".import-"

_BLOCK = 1 << 17


@dataclass(frozen=True)
class ImportedSet:
    """Summary of a data set that was imported into a folder."""

    name: str
    users: int
    items: int
    interactions: int
    report: ImportReport

    @classmethod
    def of(cls, dataset: Dataset) -> ImportedSet:
        """Return the summary of a data set in memory."""
        return cls(
            dataset.name,
            dataset.users.num_rows,
            dataset.items.num_rows,
            dataset.interactions.num_rows,
            dataset.report,
        )


def import_folder(
    path: Path,
    folder: Path,
    *,
    name: str | None = None,
    ids: IdKind = "auto",
    options: TableOptions | None = None,
    repeats: Repeats | None = None,
    callbacks: Callbacks | None = None,
    record: JsonObject | None = None,
) -> ImportedSet:
    """Import the tables of :func:`~recops_models.data.importers.folder.read_folder`.

    Args:
        path: folder, or file of interactions.
        folder: where to write the data set and temporary files; an existing folder that is not
            in use.
        name: see :func:`~recops_models.data.importers.folder.read_folder`.
        ids: see :func:`~recops_models.data.assemble.assemble`.
        options: names, separators, headers and times of the tables.
        repeats: see :func:`~recops_models.data.repeats.with_repeats`.
        callbacks: receive the stages ``read`` and ``write``.
        record: options of the import, for
            :func:`~recops_models.data.storage.check_replaceable`.

    Raises:
        CorruptFileError: see :func:`~recops_models.data.importers.folder.read_folder`.
        DataError: likewise; or no valid interaction is left.

    Example:
        >>> import tempfile
        >>> from recops_models import load_data
        >>> source, folder = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> _ = (source / "interactions.csv").write_text("user_id,item_id,timestamp\\nann,3,9\\n")
        >>> import_folder(source, folder).interactions
        1
        >>> load_data(folder).user_keys
        ['ann']
    """
    options = options or TableOptions()
    callbacks = callbacks or Callbacks()
    files = {"interactions": path} if path.is_file() else table_files(path)
    for unfinished in folder.glob(f"{_SCRATCH}*"):  # Left by a killed import.
        shutil.rmtree(unfinished)
    with TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
        callbacks.start("read")
        tables = _OwnTables(files, options, ids, Path(scratch))
        events = tables.read(str(path), callbacks)
        callbacks.start("write")
        writer = DatasetWriter(folder, callbacks)
        return tables.write(events, writer, name or name_of(path), str(path), repeats, record)


class _OwnTables:
    """Tables of an import: interactions in blocks, items and users in memory.

    Args:
        files: file of each table.
        options: names, separators, headers and times.
        ids: kind of the ids.
        scratch: existing folder for temporary files.
    """

    def __init__(
        self, files: dict[str, Path], options: TableOptions, ids: IdKind, scratch: Path
    ) -> None:
        self._options, self._scratch = options, scratch
        listed = {
            table: read_table_file(file, table, options)
            for table, file in files.items()
            if table != "interactions"
        }
        file = _table_file(files["interactions"], options)
        names = [file.schema.names, *(raw.table.column_names for raw in listed.values())]
        check_mapped(options.columns, names, "file")
        self._interactions = Interactions(file, options.columns)
        self._listed = {table: _canonical(raw, options) for table, raw in listed.items()}
        empty = RawTable(file.file, self._interactions.schema.empty_table())
        for table, raw in {"interactions": empty, **self._listed}.items():
            check_present(raw.table, raw.file, REQUIRED[table], "file")
        self._is_timed = not options.row_order and has_times(
            self._interactions.head(), file.file, "file"
        )
        self._extra = kept_columns(self._interactions, scratch)
        self._required = FIRST if self._is_timed else FIRST[:2]
        kinds = self._interactions.schema
        self._plain = [name for name in self._extra if not is_list(kinds.field(name).type)]
        with_columns(empty, (*self._required, *self._plain), OPTIONAL)
        self._item_ids, self._user_ids = id_readers(
            self._interactions,
            ids,
            items=self._listed.get("items"),
            users=self._listed.get("users"),
            folder=scratch,
        )
        self._checks: list[RowCheck] = []
        self._infinite: list[str] = []
        self._items = self._entities("items", self._item_ids)
        self._users = self._entities("users", self._user_ids)
        self._counts = RowCounts(file.file)

    def read(self, source: str, callbacks: Callbacks) -> ValidEvents:
        """Parse and check all interactions.

        Raises:
            DataError: no valid interaction is left.
        """
        expected = self._interactions.num_rows
        events = ValidEvents(self._scratch, expected)
        for raw, check, read in self._parsed():
            events.add(read, raw.table.select(list(self._extra)), check.good)
            self._counts.add(raw, check)
            callbacks.advance(min(self._counts.rows_read / max(expected, 1), 1.0))
        total, first = events.find_repetitions(whole_rows=self._is_timed)
        if total:
            self._counts.add_last(self._repetition(total, first))
        if not len(events.users.ids()):
            reasons = "; ".join(map(str, self._bad_rows())) or "the file is empty"
            raise DataError(f"{source}: no valid interaction is left ({reasons})")
        return events

    def write(
        self,
        events: ValidEvents,
        writer: DatasetWriter,
        name: str,
        source: str,
        repeats: Repeats | None,
        record: JsonObject | None,
    ) -> ImportedSet:
        """Write the data set; see :func:`import_folder`."""
        tables = events.tables()
        if not (self._is_timed and events.is_sorted):
            tables = sorted_events(tables, self._scratch)
        writer.write("interactions", events.schema, tables)
        item_tables = self._entity_tables(self._items, events.items.ids(), self._item_ids)
        user_tables = self._entity_tables(self._users, events.users.ids(), self._user_ids)
        dataset = Dataset(
            name=name,
            interactions=events.schema.empty_table(),
            items=next(item_tables),
            users=next(user_tables),
            report=self._report(events, source),
            time="seconds" if self._is_timed else "order",
            time_format=self._options.times,
            columns=dict(self._options.columns),
            reads_lists=True,
        )
        dataset = with_integer_categories(dataset)
        share = 1 - events.pairs / events.kept
        dataset = treated(dataset, repeats, share)
        num_items = writer.write("items", dataset.items.schema, [dataset.items, *item_tables])
        num_users = writer.write("users", dataset.users.schema, [dataset.users, *user_tables])
        writer.finish(dataset, record)
        return ImportedSet(name, num_users, num_items, events.kept, dataset.report)

    def _parsed(self) -> Iterator[tuple[RawTable, RowCheck, dict[str, AnyArray]]]:
        """Yield each block with its check and its parsed columns."""
        used = (*self._required, *OPTIONAL, *self._extra)
        names = [name for name in self._interactions.schema.names if name in used]
        catalogue = None
        if self._items is not None:
            catalogue = Vocabulary(self._items["item_id"].to_numpy().copy())
        for block in self._interactions.blocks(names):
            raw = with_columns(block, (*self._required, *self._plain), OPTIONAL)
            check = RowCheck(dataclasses.replace(raw, malformed=()))
            read = parse_events(
                raw,
                check,
                self._user_ids,
                self._item_ids,
                catalogue,
                self._options.times,
                is_timed=self._is_timed,
            )
            yield raw, check, read

    def _repetition(self, total: int, first: int) -> BadRows:
        """Return the report on repeated rows, of which ``first`` is the first table row."""
        start = 0
        for raw, check, read in self._parsed():
            if first < start + raw.table.num_rows:
                is_first = np.arange(start, start + raw.table.num_rows) == first
                check.reject(is_first, REPETITION, shown_columns(read))
                return dataclasses.replace(check.bad_rows[-1], count=total)
            start += raw.table.num_rows
        raise AssertionError("a repeated row is in the file")

    def _entities(self, table: str, ids: IdReader) -> pa.Table | None:
        raw = self._listed.get(table)
        if raw is None:
            return None
        raw = with_columns(raw, (ids.column,))
        return read_entities(raw, ids, table.removesuffix("s"), self._checks, self._infinite)

    @staticmethod
    def _entity_tables(
        listed: pa.Table | None, with_events: NDArray[np.int64], ids: IdReader
    ) -> Iterator[pa.Table]:
        """Yield all items or users: first those of a file, or none, then the others in blocks."""
        if listed is not None:
            yield entity_table(listed, with_events, ids)
            return
        yield entity_table(None, with_events[:0], ids)
        if ids.numbering is None:
            for start in range(0, len(with_events), _BLOCK):
                yield pa.table({ids.column: with_events[start : start + _BLOCK]})
            return
        start = 0
        for keys in ids.numbering.take(with_events):
            numbers = with_events[start : start + len(keys)]
            yield pa.table({ids.column: numbers, ids.key_column: keys})
            start += len(keys)

    def _report(self, events: ValidEvents, source: str) -> ImportReport:
        interactions = self._interactions
        used = (*self._required, *self._extra, *OPTIONAL)
        unsorted = events.unsorted if self._is_timed else 0
        notes = (
            *(() if self._is_timed else (f"{interactions.file}: {ROW_ORDER_NOTE}",)),
            *unused_note(interactions.file, interactions.schema.names, used),
            *self._infinite,
            *notes_on_events(interactions.file, events.user_counts.counts, unsorted),
        )
        read = {check.file: check.rows_read for check in self._checks}
        return ImportReport(
            source,
            {**read, interactions.file: self._counts.rows_read},
            self._bad_rows(),
            notes,
        )

    def _bad_rows(self) -> tuple[BadRows, ...]:
        listed = (bad for check in self._checks for bad in check.bad_rows)
        return (*listed, *self._counts.bad_rows)


def _table_file(path: Path, options: TableOptions) -> TableFile:
    if path.suffix == ".parquet":
        return ParquetTable(path)
    return TextTable(
        path,
        delimiter=separator_of(path, options),
        header=options.header.get("interactions"),
        text=text_columns(options),
    )


def _canonical(raw: RawTable, options: TableOptions) -> RawTable:
    """Return a table with canonical column names and plain text."""
    return dataclasses.replace(
        raw, table=plain_table(renamed(raw.table, raw.file, options.columns))
    )
