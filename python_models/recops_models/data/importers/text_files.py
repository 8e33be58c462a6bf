"""Delimited text to Arrow, keeping count of rows that cannot be split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from recops_models.data.checks import RawTable
from recops_models.data.errors import DataError


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

    def source() -> Path | pa.BufferReader:
        return file if content is None else pa.BufferReader(content)

    try:
        names = pa.csv.open_csv(source(), read_options=read, parse_options=parse).schema.names
        as_text = names if only_text else [name for name in text if name in names]
        malformed.clear()
        convert = pa.csv.ConvertOptions(
            column_types={name: pa.string() for name in as_text}, strings_can_be_null=False
        )
        table = pa.csv.read_csv(
            source(), read_options=read, parse_options=parse, convert_options=convert
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise DataError(f"{file}: not readable as delimited text ({error})") from error
    if len(set(names)) < len(names):
        raise DataError(f"{file}: two columns bear one name ({', '.join(names)})")
    filled = [_empty_is_null(column) for column in table.columns]
    return RawTable(file.name, pa.table(filled, names=names), malformed)


def _empty_is_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Only an empty string is a missing one: a film may be called "NA" or "null"."""
    if not pa.types.is_string(column.type):
        return column
    return pc.if_else(pc.equal(column, ""), None, column)
