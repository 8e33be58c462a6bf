"""Interactions of a user's own file, read in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from recops_models.data.checks import RawTable, plain_table
from recops_models.data.column_names import clean_name, renamed
from recops_models.data.parquet_file import open_parquet, read_pieces
from recops_models.data.prefetch import ordered_map

_ROWS = 1 << 17
_HEAD = 1000
"""Rows by which column types are judged; see :func:`~recops_models.data.times.look_like_times`."""


class TableFile(Protocol):
    """File of one table that can be read repeatedly.

    Attributes:
        file: name of the file, for reports.
        schema: names and types of the columns.
        num_rows: estimate of the number of rows.
    """

    file: str
    schema: pa.Schema
    num_rows: int

    def blocks(self, columns: Sequence[str] | None = None) -> Iterator[RawTable]:
        """Yield all rows in blocks, at least one; ``numbers`` are their numbers in the file.

        ``malformed`` holds the rows of a block that could not be split into columns.

        Args:
            columns: the columns to read; None: all.
        """
        ...


class ParquetTable:
    """Parquet file that is read in blocks of 131,072 rows.

    Raises:
        DataError: the file is missing or not Parquet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.file = path, path.name
        with open_parquet(path) as file:
            self.schema: pa.Schema = file.schema_arrow.remove_metadata()
            self.num_rows: int = file.metadata.num_rows
            self._groups = range(file.metadata.num_row_groups)

    def blocks(self, columns: Sequence[str] | None = None) -> Iterator[RawTable]:
        """See :meth:`TableFile.blocks`."""
        names = self.schema.names if columns is None else columns
        start = 1
        for piece in read_pieces(self._path, _ROWS, self._groups, names):
            table = pa.Table.from_batches([piece]).replace_schema_metadata(None)
            yield RawTable(self.file, table, numbers=np.arange(start, start + len(table)))
            start += len(table)
        if start == 1:
            schema = pa.schema([self.schema.field(name) for name in names])
            yield RawTable(self.file, schema.empty_table(), numbers=np.empty(0, dtype=np.int64))


class Interactions:
    """Interactions with canonical column names and plain text, read in advance by a thread.

    Args:
        table: the file.
        columns: names in the file by canonical name.

    Raises:
        DataError: column names are not unique.
    """

    def __init__(self, table: TableFile, columns: Mapping[str, str]) -> None:
        self._table, self._columns = table, columns
        self.file = table.file
        self.num_rows = table.num_rows
        empty = self._plain(RawTable(table.file, table.schema.empty_table()))
        self.schema: pa.Schema = empty.table.schema
        self._sources = dict(zip(self.schema.names, table.schema.names, strict=True))

    @property
    def source_names(self) -> list[str]:
        """Names of the columns in the file, cleaned."""
        return [clean_name(name) for name in self._table.schema.names]

    def head(self) -> pa.Table:
        """Return the first rows: 1000 or more, or all rows of a short file."""
        tables: list[pa.Table] = []
        for raw in self.blocks():
            tables.append(raw.table)
            if sum(table.num_rows for table in tables) >= _HEAD:
                break
        return pa.concat_tables(tables)

    def blocks(self, columns: Sequence[str] | None = None) -> Iterator[RawTable]:
        """Yield all rows; see :meth:`TableFile.blocks`, with canonical names."""
        sources = None if columns is None else [self._sources[name] for name in columns]
        return ordered_map(self._plain, self._table.blocks(sources), workers=1, ahead=2)

    def _plain(self, raw: RawTable) -> RawTable:
        table = plain_table(renamed(raw.table, raw.file, self._columns))
        return RawTable(raw.file, table, raw.malformed, raw.numbers)
