"""Items that a data set does not have yet, from a file, with the columns that its items have."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.columns import id_text
from recops_models.data.dataset import Dataset, is_list
from recops_models.data.errors import DataError
from recops_models.data.importers.parquet_files import read_parquet
from recops_models.data.importers.text_files import read_delimited

KEY = "item_key"


def read_new_items(path: Path, dataset: Dataset) -> pa.Table:
    """Rows with :data:`KEY`, the items' ids as text, in the order of the file, and the columns of
    ``dataset.items`` beside their ids; null where the file has none, or nothing in it.

    Args:
        path: Parquet, or delimited text with a header line; ``item_id`` is a column of it. A plain
            value in a column of lists is a list of one.
        dataset: which does not have these items.

    Raises:
        DataError: the file cannot be read, or a row of it; an id is missing, repeated or known; a
            column is of another type than the data set's.
    """
    raw = read_parquet(path) if path.suffix == ".parquet" else read_delimited(path, only_text=True)
    if raw.malformed:
        row, reason = raw.malformed[0]
        raise DataError(f"{path}: row {row} cannot be read: {reason}")
    if "item_id" not in raw.table.column_names:
        raise DataError(
            f"{path}: must have a column item_id, found {', '.join(raw.table.column_names)}"
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
        raise DataError(f"{path}: item {repeated[0]['values']} stands in it twice")
    items = dataset.items
    known = items[KEY] if KEY in items.column_names else items["item_id"].cast(pa.string())
    there = keys.filter(pc.is_in(keys, value_set=known.combine_chunks()))
    if len(there):
        raise DataError(f"{path}: {dataset.name} has item {there[0]} already")


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
        raise DataError(f"{path}: {field.name} must be {kind}, as it is there: {reason}") from error


def _integers(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Text as whole numbers, which may be written as 1995.0."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        return column.cast(pa.float64()).cast(kind)


def _lists_of_one(column: pa.ChunkedArray) -> pa.ChunkedArray:
    rows = [None if value is None else [value] for value in column.to_pylist()]
    return pa.chunked_array([pa.array(rows, pa.list_(column.type))])
