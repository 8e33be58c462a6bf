"""Choice between category and number for the integer columns of a user's own data.

Arrow gives ``category_id`` and ``price`` the same type. Here an integer column is a category if

- its name ends in ``_id`` or ``Id``, or is ``id``; or
- it has at most :data:`MAX_VALUES` distinct values, and at least :data:`ROWS_PER_VALUE` rows for
  each of them on average.

Coded ages, genders, departments and star ratings meet the second condition. Prices, ages in years,
counts and years of a long period have more values and stay numbers. In a table of fewer than
:data:`ROWS_PER_VALUE` rows only the name decides.

A category column is dictionary-encoded. To give a column another role, change its type.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.dataset import Dataset

MAX_VALUES = 50
"""Distinct values of an integer category whose name is no id."""

ROWS_PER_VALUE = 20
"""Rows per distinct value, on average, of an integer category whose name is no id."""

_ID_NAME = re.compile(r"(?:.*_)?(?:id|Id|ID)|.*[a-z0-9]Id", re.DOTALL)
_OWN = ("item_id", "item_key", "user_id", "user_key", "held_out")


def with_integer_categories(dataset: Dataset) -> Dataset:
    """Return ``dataset`` with its integer categories dictionary-encoded.

    The report gets one note per integer column of items and users:
    ``items: category_id: category (12 values)``. Event columns stay as they are.

    Args:
        dataset: a user's own data.

    Example:
        >>> import pyarrow as pa
        >>> from recops_models.data import Dataset, ImportReport
        >>> events = pa.table({"user_id": [1, 1], "item_id": [7, 8], "timestamp": [0, 1]})
        >>> items = pa.table({"item_id": [7, 8], "category_id": [3, 4], "price": [20, 35]})
        >>> users = pa.table({"user_id": [1]})
        >>> data = Dataset("shop", events, items, users, ImportReport("shop.csv"))
        >>> data = with_integer_categories(data)
        >>> data.report.notes
        ('items: category_id: category (2 values)', 'items: price: number (2 values)')
        >>> data.item_columns("attribute")
        ['category_id']
    """
    tables, notes = {}, list(dataset.report.notes)
    for table in ("items", "users"):
        columns = getattr(dataset, table)
        for name, column in _integer_columns(columns):
            values = len(pc.unique(column.drop_null()))
            is_category = _is_category(name, values, len(column) - column.null_count)
            if is_category:
                columns = _replaced(columns, name, column.dictionary_encode())
            role = "category" if is_category else "number"
            notes.append(f"{table}: {name}: {role} ({values:,} values)")
        tables[table] = columns
    report = dataclasses.replace(dataset.report, notes=tuple(notes))
    return dataclasses.replace(dataset, **tables, report=report)


def integer_categories(table: pa.Table) -> list[str]:
    """Return the names of the dictionary-encoded integer columns of ``table``."""
    return [field.name for field in table.schema if _is_integer_category(field.type)]


def with_categories(table: pa.Table, names: Collection[str]) -> pa.Table:
    """Return ``table`` with ``names`` as its only integer categories.

    Integer columns of ``names`` become dictionary-encoded. Other dictionaries of integers become
    plain integers. A name without an integer column is ignored.
    """
    for name in table.column_names:
        column = table[name]
        if name in names and pa.types.is_integer(column.type):
            table = _replaced(table, name, column.dictionary_encode())
        elif name not in names and _is_integer_category(column.type):
            table = _replaced(table, name, column.cast(column.type.value_type))
    return table


def is_id_name(name: str) -> bool:
    """Return whether a column name says that its values are ids: ``category_id``, ``brandId``."""
    return _ID_NAME.fullmatch(name) is not None


def _integer_columns(table: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yield the integer columns, and id columns of floats with integer values.

    pandas writes integers with missing values as such floats.
    """
    for name in table.column_names:
        kind = table[name].type
        fractional = pa.types.is_floating(kind)
        if name in _OWN or not (pa.types.is_integer(kind) or (fractional and is_id_name(name))):
            continue
        column = _as_integers(table[name])
        if column is not None and column.null_count < len(column):
            yield name, column


def _is_integer_category(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) and pa.types.is_integer(kind.value_type))


def _is_category(name: str, values: int, rows: int) -> bool:
    return is_id_name(name) or (values <= MAX_VALUES and values * ROWS_PER_VALUE <= rows)


def _as_integers(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return the column as int64, or None if a value does not fit. NaN counts as missing."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column.cast(pa.float64()))
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def _replaced(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)
