"""Reading delimited text as raw tables, with a record of the rows that cannot be split."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from recops_models.data.checks import RawTable
from recops_models.data.column_names import clean_name
from recops_models.data.errors import DataError

_BLOCK = 1 << 20
"""Bytes per block of Arrow's reader; the header must fit into one block."""


def read_delimited(
    file: Path,
    *,
    delimiter: str | None = ",",
    quoting: bool = True,
    only_text: bool = False,
    text: tuple[str, ...] = (),
    header: Sequence[str] | None = None,
    content: bytes | None = None,
) -> RawTable:
    """Read a delimited file.

    Args:
        file: path of a UTF-8 file; ``.gz`` is decompressed.
        delimiter: one character. None: the comma if the first line has one, otherwise its most
            frequent of ``;``, tab and ``|``.
        quoting: whether ``"…"`` protects delimiters and line breaks.
        only_text: read every column as strings.
        text: columns to read as strings, such as ids, which may exceed the 2^53 of floats.
        header: column names of a file without a header line; None: the first line has them.
        content: content of a file in an archive; ``file`` is then used in messages only.

    Raises:
        DataError: the file is missing, empty, not UTF-8, or has no or repeated columns.
    """
    if content is None and not file.is_file():
        raise DataError(f"{file}: no such file")
    delimiter = delimiter or likely_delimiter(text_head(file, content))
    return parse_delimited(
        file,
        content,
        delimiter=delimiter,
        header=header,
        text=text,
        quoting=quoting,
        only_text=only_text,
    )


def parse_delimited(
    file: Path,
    content: bytes | None,
    *,
    delimiter: str,
    header: Sequence[str] | None,
    text: tuple[str, ...],
    types: Mapping[str, pa.DataType] | None = None,
    quoting: bool = True,
    only_text: bool = False,
) -> RawTable:
    """Parse a delimited file, or ``content``, a part of it.

    Args:
        file: path of the file.
        content: whole rows of the file; None: read the file.
        delimiter: one character.
        header: column names, if ``content`` has no header line.
        text: columns to read as strings.
        types: types of further columns; those of other columns are inferred.
        quoting: see :func:`read_delimited`.
        only_text: see :func:`read_delimited`.

    Raises:
        DataError: see :func:`read_delimited`; or a value has not the type of its column.
    """
    malformed: list[tuple[int, str]] = []
    first_row = 1 if header is None else 0

    def skip(row: Any) -> str:
        malformed.append(
            (
                row.number - first_row,
                f"a row has {row.actual_columns} fields, not {row.expected_columns}",
            )
        )
        return "skip"

    parse = pa.csv.ParseOptions(
        delimiter=delimiter,
        quote_char='"' if quoting else False,
        newlines_in_values=quoting,
        invalid_row_handler=skip,
    )
    # Arrow numbers malformed rows only with one thread.
    read = pa.csv.ReadOptions(use_threads=False, column_names=header)

    data = file if content is None else pa.BufferReader(content)
    if header is None:
        names = _header(file, text_head(file, content), delimiter, quoting)
    else:
        names = list(header)
    as_text = names if only_text else [name for name in names if clean_name(name) in text]
    convert = pa.csv.ConvertOptions(
        column_types={**(types or {}), **dict.fromkeys(as_text, pa.string())},
        strings_can_be_null=False,
    )
    try:
        table = pa.csv.read_csv(
            data, read_options=read, parse_options=parse, convert_options=convert
        )
        names = table.column_names
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{file}: not readable as delimited text ({error})") from error
    if len(set(names)) < len(names):
        raise DataError(f"{file}: column names must be unique, got {', '.join(names)}")
    for name, column in zip(names, table.columns, strict=True):
        if pa.types.is_binary(column.type):
            raise DataError(f"{file}: column {name!r} is not UTF-8 text")
    filled = [_empty_is_null(column) for column in table.columns]
    return RawTable(file.name, pa.table(filled, names=names), malformed)


def text_head(file: Path, content: bytes | None = None) -> str:
    """Return the first block of a file; undecodable bytes are replaced.

    Arrow's streaming reader is not used: after an error its thread stays alive and aborts the
    interpreter at exit (pyarrow 26).
    """
    if content is None:
        try:
            with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
                content = opened.read(_BLOCK)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{file}: not readable as delimited text ({error})") from error
    return content[:_BLOCK].decode("utf-8-sig", "replace")


def likely_delimiter(head: str) -> str:
    """Return the comma if the first line has one, else its most frequent of ``;``, tab, ``|``."""
    line = head.partition("\n")[0]
    return "," if "," in line or not line else max(",;\t|", key=line.count)


def _header(file: Path, head: str, delimiter: str, quoting: bool) -> list[str]:
    """Return the names in the first line."""
    lines = io.StringIO(head, newline="")
    rows = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
    )
    try:
        return next(filter(None, rows), [])
    except csv.Error as error:
        raise DataError(f"{file}: not readable as delimited text ({error})") from error


def _empty_is_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column with empty strings as null; "NA" and "null" may be titles."""
    if not pa.types.is_string(column.type):
        return column
    return pc.if_else(pc.equal(column, ""), None, column)
