"""Reading new items from a file, with the columns of a data set's items."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.column_roles import is_list
from recops_models.data.columns import id_text
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.importers.parquet_files import read_parquet
from recops_models.data.importers.text_files import read_delimited

KEY = "item_key"
"""Column of the items' ids as text."""


def read_new_items(path: Path, dataset: Dataset) -> pa.Table:
    """Return the items in ``path``: :data:`KEY` and the other columns of ``dataset.items``.

    Rows stay in the order of the file. Columns that the file lacks are null.

    Args:
        path: Parquet, or comma-separated text with a header line. Its column ``item_id`` holds the
            ids. A plain value for a column of lists becomes a list of one value.
        dataset: a data set without these items.

    Raises:
        DataError: the file or a row cannot be read; an id is missing, repeated or already in
            ``dataset``; a column's type differs from the data set's.
    """
    raw = read_parquet(path) if path.suffix == ".parquet" else read_delimited(path, only_text=True)
    if raw.malformed:
        row, reason = raw.malformed[0]
        raise DataError(f"{path}: row {row} cannot be read: {reason}")
    if "item_id" not in raw.table.column_names:
        raise DataError(
            f"{path}: must have a column item_id, got {', '.join(raw.table.column_names)}"
        )
    table = raw.table.replace_schema_metadata(None)
    keys = id_text(table["item_id"])
    _check_keys(path, keys, dataset)
    columns = {KEY: keys}
    for field in dataset.items.schema:
        if field.name not in ("item_id", KEY):
            columns[field.name] = _column(path, table, field)
    return pa.table(columns)


def _check_keys(path: Path, keys: pa.ChunkedArray, dataset: Dataset) -> None:
    if not len(keys):
        raise DataError(f"{path}: holds no items")
    if pc.any(pc.equal(keys, "")).as_py():
        raise DataError(f"{path}: a row has no item_id")
    counts = pc.value_counts(keys.combine_chunks())
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        raise DataError(f"{path}: item {repeated[0]['values']} is listed twice")
    items = dataset.items
    known = items[KEY] if KEY in items.column_names else items["item_id"].cast(pa.string())
    not_new = keys.filter(pc.is_in(keys, value_set=known.combine_chunks()))
    if len(not_new):
        raise DataError(f"{path}: {dataset.name} already has item {not_new[0]}")


def _column(path: Path, table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, field.type)])
    column, kind = table[field.name], field.type
    try:
        if pa.types.is_list(kind) and not is_list(column.type):
            return _lists_of_one(column.cast(kind.value_type))
        if pa.types.is_dictionary(kind) and pa.types.is_integer(kind.value_type):
            text = pa.types.is_string(column.type)
            values = _integers(column, kind.value_type) if text else column.cast(kind.value_type)
            return values.dictionary_encode().cast(kind)
        if pa.types.is_dictionary(kind):
            return column.cast(pa.string()).dictionary_encode().cast(kind)
        if pa.types.is_integer(kind) and pa.types.is_string(column.type):
            return _integers(column, kind)
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path}: {field.name} must be {kind}, as in the data set: {reason}"
        ) from error


def _integers(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return text as integers, which may be written as 1995.0."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        return column.cast(pa.float64()).cast(kind)


def _lists_of_one(column: pa.ChunkedArray) -> pa.ChunkedArray:
    rows = [None if value is None else [value] for value in column.to_pylist()]
    return pa.chunked_array([pa.array(rows, pa.list_(column.type))])
