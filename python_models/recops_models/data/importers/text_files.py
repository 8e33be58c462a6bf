"""Delimited text to Arrow, keeping count of rows that cannot be split."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from recops_models.data.checks import RawTable
from recops_models.data.errors import DataError

_BLOCK = 1 << 20
"""Bytes that Arrow reads at once; a header must fit into them."""


def read_delimited(
    file: Path,
    *,
    delimiter: str = ",",
    quoting: bool = True,
    only_text: bool = False,
    text: tuple[str, ...] = (),
    content: bytes | None = None,
) -> RawTable:
    """Read a delimited file with a header line.

    Args:
        file: UTF-8 text.
        delimiter: one character.
        quoting: whether ``"…"`` protects delimiters and line breaks.
        only_text: keep every column as strings.
        text: columns to keep as strings, whatever is in them: ids beyond 2^53 must not pass through
            a float.
        content: the file's, where it lies in an archive and ``file`` is only its name.

    Raises:
        DataError: not there, empty, not UTF-8, or without columns.
    """
    if content is None and not file.is_file():
        raise DataError(f"{file}: no such file")
    malformed: list[tuple[int, str]] = []

    def skip(row: Any) -> str:
        malformed.append(
            (row.number - 1, f"a row has {row.actual_columns} fields, not {row.expected_columns}")
        )
        return "skip"

    parse = pa.csv.ParseOptions(
        delimiter=delimiter,
        quote_char='"' if quoting else False,
        newlines_in_values=quoting,
        invalid_row_handler=skip,
    )
    # One thread: only so are malformed rows numbered.
    read = pa.csv.ReadOptions(use_threads=False)

    data = file if content is None else pa.BufferReader(content)
    as_text = _header(file, content, delimiter, quoting) if only_text else text
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(as_text, pa.string()), strings_can_be_null=False
    )
    try:
        table = pa.csv.read_csv(
            data, read_options=read, parse_options=parse, convert_options=convert
        )
        names = table.column_names
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise DataError(f"{file}: not readable as delimited text ({error})") from error
    if len(set(names)) < len(names):
        raise DataError(f"{file}: two columns bear one name ({', '.join(names)})")
    for name, column in zip(names, table.columns, strict=True):
        if pa.types.is_binary(column.type):
            raise DataError(f"{file}: column {name!r} is not UTF-8 text")
    filled = [_empty_is_null(column) for column in table.columns]
    return RawTable(file.name, pa.table(filled, names=names), malformed)


def _header(file: Path, content: bytes | None, delimiter: str, quoting: bool) -> list[str]:
    """The names of the columns; of a header that is no text, something like them.

    Not by Arrow's streaming reader: its thread outlives an error, and then aborts the interpreter
    at its end (pyarrow 26).
    """
    if content is None:
        with file.open("rb") as opened:
            content = opened.read(_BLOCK)
    lines = io.StringIO(content[:_BLOCK].decode("utf-8-sig", "replace"), newline="")
    rows = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
    )
    try:
        return next(filter(None, rows), [])
    except csv.Error as error:
        raise DataError(f"{file}: not readable as delimited text ({error})") from error


def _empty_is_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Only an empty string is a missing one: a film may be called "NA" or "null"."""
    if not pa.types.is_string(column.type):
        return column
    return pc.if_else(pc.equal(column, ""), None, column)
