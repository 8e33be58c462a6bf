"""Values that an event or a request brings, as rows of a table or as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import pyarrow as pa

from recops_models.data.histories import Int64Array
from recops_models.examples.lookup import UNKNOWN, Lookup, as_keys
from recops_models.serving.errors import FieldError

_LONGEST = 19
"""Digits of an integer of 64 bits."""


def rows_of_ids(lookup: Lookup, ids: Sequence[str]) -> Int64Array:
    """``[n]``: the rows of ids as text, whether the table knows integers or text. O(n).

    An integer goes by the text that it has by itself: "007" and "-0" are none.
    """
    if isinstance(lookup.keys, pa.Array):
        return lookup.rows(pa.array(ids, pa.string()))
    rows: Int64Array = np.full(len(ids), UNKNOWN)
    numbers = {
        place: number for place, one in enumerate(ids) if (number := _integer(one)) is not None
    }
    rows[list(numbers)] = lookup.rows(np.array(list(numbers.values()), dtype=np.int64))
    return rows


def _integer(text: str) -> int | None:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST):
        return None
    number = int(text)
    return number if str(number) == text and -(2**63) <= number < 2**63 else None


def looked_up(
    lookup: Lookup, name: str, values: list[object]
) -> tuple[Int64Array, dict[int, FieldError]]:
    """``[n]``: the rows of values of feature ``name``, and by place the errors of what is no value
    of it. One that the table does not know, or None, is unknown.
    """
    try:
        column = pa.array(values)
        if pa.types.is_null(column.type):
            return np.full(len(values), UNKNOWN), {}
        return lookup.rows(as_keys(column)).astype(np.int64), {}
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        if len(values) == 1:
            return np.full(1, UNKNOWN), {0: FieldError(name, f"must be a value of it ({error})")}
    rows, wrong = np.full(len(values), UNKNOWN), {}
    for place, value in enumerate(values):
        row, errors = looked_up(lookup, name, [value])
        rows[place] = row[0]
        if errors:
            wrong[place] = errors[0]
    return rows, wrong


def each_of(name: str, value: object, rows: int, *, depth: int = 0) -> list[object]:
    """A value for each of ``rows`` candidates.

    Args:
        name: of the feature.
        value: one for all, or a list of them.
        rows: B.
        depth: of lists that a value is itself.

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
        raise FieldError(name, f"must be one value, or {rows} as there are candidates")
    return value


NUMBER = "a number between -1e19 and 1e19"
"""Every integer of 64 bits is one, and so is, in float32, the square of each."""


def number_of(name: str, value: object) -> float:
    """A numeric feature's number, NaN for None: a missing one.

    Raises:
        FieldError: it is none.
    """
    if value is None:
        return math.nan
    if not is_number(value):
        raise FieldError(name, f"must be {NUMBER}, got {value!r:.40}")
    return float(value)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is :data:`NUMBER`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e19
