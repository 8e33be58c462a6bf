"""Conversion of event and request values to embedding rows and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import pyarrow as pa

from recops_models.data.histories import Int64Array
from recops_models.examples.lookup import PADDING, UNKNOWN, Lookup
from recops_models.serving.errors import FieldError

_MAX_DIGITS = 19
"""Digits of the largest 64-bit integer."""


def rows_of_ids(lookup: Lookup, ids: Sequence[str]) -> Int64Array:
    """Return the rows ``[n]`` of text ids in a table with text or integer keys. O(n).

    Only the canonical text of an integer matches an integer key: "007" and "-0" are unknown.
    """
    if isinstance(lookup.keys, pa.Array):
        return lookup.rows(pa.array(ids, pa.string()))
    rows: Int64Array = np.full(len(ids), UNKNOWN)
    numbers = {
        index: number for index, text in enumerate(ids) if (number := _integer(text)) is not None
    }
    rows[list(numbers)] = lookup.rows(np.array(list(numbers.values()), dtype=np.int64))
    return rows


def _integer(text: str) -> int | None:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS):
        return None
    number = int(text)
    return number if str(number) == text and -(2**63) <= number < 2**63 else None


def rows_of_values(
    lookup: Lookup, name: str, values: list[object]
) -> tuple[Int64Array, dict[int, FieldError]]:
    """Return the rows ``[n]`` of values of feature ``name``, and errors of invalid values by index.

    None and values that the table lacks map to the row of unknown values.
    """
    try:
        column = pa.array(values)
        if pa.types.is_null(column.type):
            return np.full(len(values), UNKNOWN), {}
        return lookup.rows(column).astype(np.int64), {}
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        if len(values) == 1:
            return np.full(1, UNKNOWN), {
                0: FieldError(name, f"must be a value of this feature ({error})")
            }
    rows, errors = np.full(len(values), UNKNOWN), {}
    for index, value in enumerate(values):
        row, row_errors = rows_of_values(lookup, name, [value])
        rows[index] = row[0]
        if row_errors:
            errors[index] = row_errors[0]
    return rows, errors


def rows_of_lists(
    lookup: Lookup, name: str, lists: list[object], max_values: int
) -> tuple[Int64Array, dict[int, FieldError]]:
    """Return the rows ``[n, max_values]`` of lists of a feature, and errors by index.

    None is one unknown value.
    """
    rows = np.full((len(lists), max_values), PADDING)
    faults: dict[int, FieldError] = {}
    for index, one in enumerate(lists):
        if not isinstance(one, list | None):
            faults[index] = FieldError(name, f"must be a list, got {one!r:.40}")
            continue
        values = [None] if one is None else one[:max_values]
        rows[index, : len(values)], errors = rows_of_values(lookup, name, values)
        if errors:
            faults[index] = next(iter(errors.values()))
    return rows, faults


def per_candidate(name: str, value: object, rows: int, *, depth: int = 0) -> list[object]:
    """Return one value per candidate.

    Args:
        name: name of the feature.
        value: one value for all candidates, or a list with one value per candidate.
        rows: number of candidates.
        depth: nesting depth of lists within one value.

    Raises:
        FieldError: a list of another length.
    """
    inner: object = value
    for _ in range(depth):
        inner = inner[0] if isinstance(inner, list) and inner else None
    if not isinstance(inner, list):
        return [value] * rows
    assert isinstance(value, list)
    if len(value) != rows:
        raise FieldError(name, f"must be one value, or {rows} values, one per candidate")
    return value


NUMBER = "a number between -1e19 and 1e19"
"""Accepted range, which contains all 64-bit integers. The squares are finite in float32."""


def number_of(name: str, value: object) -> float:
    """Return a numeric feature's value; NaN, a missing value, for None.

    Raises:
        FieldError: ``value`` is not :data:`NUMBER`.
    """
    if value is None:
        return math.nan
    if not is_number(value):
        raise FieldError(name, f"must be {NUMBER}, got {value!r:.40}")
    return float(value)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether ``value`` is :data:`NUMBER`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e19
