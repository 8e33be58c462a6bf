"""Role of a column for models: text, attribute or number."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

ColumnRole = Literal["text", "attribute", "number"]


def is_list(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds lists of variable length."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def longest_list(column: pa.ChunkedArray) -> int:
    """Return the length of a column's longest list, at least 1."""
    longest: int | None = pc.max(pc.list_value_length(column)).as_py()
    return max(1, longest or 0)


def column_role(column: pa.ChunkedArray) -> ColumnRole | None:
    """Return the role of a column that describes items or users.

    - ``"number"``: integers, floats and decimals.
    - ``"text"``: large strings, the type of columns that a user's schema declares as text, and
      string columns with more than half of their values distinct (titles).
    - ``"attribute"``: booleans, dictionary-encoded columns, lists of strings or integers, and
      string columns with at most half of their values distinct (brands).
    - None: types that no model reads (nested lists, dates, bytes).
    """
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_dictionary(kind) or pa.types.is_boolean(kind):
        return "attribute"
    if is_list(kind):
        value = kind.value_type
        flat = (
            pa.types.is_string(value)
            or pa.types.is_large_string(value)
            or pa.types.is_integer(value)
        )
        return "attribute" if flat else None
    if pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_string(kind):
        present = len(column) - column.null_count
        return "text" if 2 * pc.count_distinct(column).as_py() > present else "attribute"
    return None
