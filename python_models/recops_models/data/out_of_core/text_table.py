"""Delimited text that is read in blocks of rows."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from recops_models.data.checks import RawTable
from recops_models.data.errors import DataError
from recops_models.data.importers.text_files import (
    likely_delimiter,
    parse_delimited,
    text_head,
)

_BLOCK = 16 << 20
_LOOSER = (
    *("null", "int64", "bool", "date32[day]", "time32[s]", "timestamp[s]", "timestamp[ns]"),
    *("double", "string", "binary"),
)
"""Types that Arrow infers from text; a column has the first one that fits all of its values."""


class TextTable:
    """Delimited text file with a type per column, read in blocks of 16 MB.

    Columns have the types that :func:`~recops_models.data.importers.text_files.read_delimited`
    infers. Inference reads the whole file once.

    Args:
        path: UTF-8 file; ``.gz`` is decompressed.
        delimiter: see :func:`~recops_models.data.importers.text_files.read_delimited`.
        header: column names of a file without a header line; None: the first line has them.
        text: columns to read as strings.

    Raises:
        DataError: the file is missing, empty, not UTF-8, or has repeated columns.
    """

    def __init__(
        self,
        path: Path,
        *,
        delimiter: str | None,
        header: Sequence[str] | None,
        text: tuple[str, ...],
        block_bytes: int = _BLOCK,
    ) -> None:
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        self._path, self.file = path, path.name
        self._delimiter = delimiter or likely_delimiter(text_head(path))
        self._header, self._text, self._block_bytes = header, text, block_bytes
        self._types: dict[str, pa.DataType] = {}
        self.num_rows = 0
        self.schema = self._infer()
        self._types = {field.name: field.type for field in self.schema}

    def blocks(self, columns: Sequence[str] | None = None) -> Iterator[RawTable]:
        """See :meth:`~recops_models.data.out_of_core.interactions.TableFile.blocks`."""
        for raw in self._parsed(self._types):
            yield raw if columns is None else _selected(raw, columns)

    def _infer(self) -> pa.Schema:
        """Return the columns with the types of all blocks, and count the rows."""
        names: list[str] = []
        inferred: dict[str, list[pa.DataType]] = {}
        for raw in self._parsed({}):
            names = raw.table.column_names
            self.num_rows += raw.table.num_rows
            for field in raw.table.schema:
                kinds = inferred.setdefault(field.name, [])
                if field.type not in kinds:
                    kinds.append(field.type)
        fields = []
        for name in names:
            known = [kind for kind in inferred[name] if kind != pa.null()] or [pa.null()]
            kind = known[0] if len(known) == 1 else self._loosened(name, known)
            fields.append(pa.field(name, kind))
        return pa.schema(fields)

    def _loosened(self, name: str, kinds: Sequence[pa.DataType]) -> pa.DataType:
        """Return the first type of :data:`_LOOSER` from ``kinds`` on that all blocks have."""
        first = max(_LOOSER.index(str(k)) if str(k) in _LOOSER else len(_LOOSER) - 2 for k in kinds)
        for looser in _LOOSER[first:]:
            kind = pa.type_for_alias(looser.replace("date32[day]", "date32"))
            try:
                for _ in self._parsed({name: kind}):
                    pass
            except DataError:
                continue
            return kind
        raise DataError(f"{self._path}: column {name!r} is not UTF-8 text")

    def _parsed(self, types: Mapping[str, pa.DataType]) -> Iterator[RawTable]:
        names = self._header
        start = 1
        for block in self._bytes():
            raw = parse_delimited(
                self._path,
                block,
                delimiter=self._delimiter,
                header=names,
                text=self._text,
                types=types,
            )
            names = raw.table.column_names
            malformed = [(start + row - 1, reason) for row, reason in raw.malformed]
            stop = start + raw.table.num_rows + len(malformed)
            numbers = np.setdiff1d(np.arange(start, stop), [row for row, _ in malformed])
            yield RawTable(self.file, raw.table, malformed, numbers)
            start = stop

    def _bytes(self) -> Iterator[bytes]:
        """Yield the file in blocks of whole rows; the first one has the header line."""
        path, pending = self._path, b""
        is_first = True
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                while content := file.read(self._block_bytes):
                    pending += content
                    end = _last_row_end(pending, self._delimiter)
                    if end:
                        yield pending[:end]
                        pending, is_first = pending[end:], False
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self._path}: not readable as delimited text ({error})") from error
        if is_first or pending.strip(b"\r\n"):
            yield pending


def _selected(raw: RawTable, columns: Sequence[str]) -> RawTable:
    return RawTable(raw.file, raw.table.select(list(columns)), raw.malformed, raw.numbers)


def _last_row_end(data: bytes, delimiter: str) -> int:
    """Return the position after the last line break of ``data`` outside quotes; 0: there is none.

    ``data`` starts with a row. A quote opens a quoted field only at the start of the field.
    """
    end = position = 0
    quoted = rb'(?:^|(?<=[%b\r\n]))"[^"]*(?:""[^"]*)*(?:"|\Z)' % re.escape(delimiter.encode())
    for field in re.finditer(quoted, data):
        end = data.rfind(b"\n", position, field.start()) + 1 or end
        position = field.end()
    return data.rfind(b"\n", position) + 1 or end
