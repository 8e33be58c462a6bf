"""Parsers of raw columns, which report bad values per row and do not raise.

Each parser takes an Arrow column of any type. It returns the values (zero where unreadable) and the
faults: pairs of a reason and a mask of the affected rows.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

BoolArray: TypeAlias = NDArray[np.bool_]
Faults: TypeAlias = list[tuple[str, BoolArray]]
"""Pairs of a reason and a mask of the affected rows."""

_INTEGER = r"^(0|[1-9][0-9]*)$"  # "007" and "7" are different ids, so "007" is not an integer.
_NEGATIVE = r"^-[1-9][0-9]*$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_FINITE = r"^(?i)[+-]?(nan|inf|infinity)$"
_BOOLEAN = r"^(?i)(true|false)$"
_LARGEST = "9223372036854775807"


def mask(condition: pa.ChunkedArray) -> BoolArray:
    """Return an Arrow condition as a NumPy mask; null becomes False."""
    result: BoolArray = pc.fill_null(condition, False).to_numpy().astype(bool)
    return result


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column as trimmed strings; null becomes the empty string."""
    return pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))


def _float_ids(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return float ids as text: 3.0 becomes "3", 3.5 becomes "3.5".

    pandas stores integer ids as floats if one is missing.
    """
    exact = pc.and_(pc.equal(column, pc.floor(column)), pc.less_equal(pc.abs(column), float(2**53)))
    integers = pc.if_else(exact, column, None).cast(pa.int64()).cast(pa.string())
    return pc.coalesce(integers, pc.if_else(pc.is_nan(column), None, column).cast(pa.string()))


def id_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return an id column as trimmed strings; a missing id becomes the empty string."""
    if pa.types.is_floating(column.type):
        column = _float_ids(column.cast(pa.float64()))
    return as_text(column)


def row_of(keys: pa.ChunkedArray, asked: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the row of each asked id in ``keys``; −1 for an unknown id.

    Args:
        keys: ids of the source, text or integers.
        asked: ids of any type; the text ``"7"`` is the id 7.
    """
    known = keys.cast(pa.string()).combine_chunks()
    rows = pc.index_in(id_text(asked), value_set=known)
    indices: NDArray[np.int64] = (
        pc.fill_null(rows, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    )
    return indices


def mostly_integers(text: pa.ChunkedArray) -> bool:
    """Return whether more than half of the non-empty ids are integers, of any sign and size."""
    integers, present = count_integers(text)
    return 2 * integers > present


def count_integers(text: pa.ChunkedArray) -> tuple[int, int]:
    """Return the numbers of integers, of any sign and size, and of all non-empty ids."""
    present = int(mask(pc.not_equal(text, "")).sum())
    integers = mask(pc.match_substring_regex(text, r"^-?(0|[1-9][0-9]*)$"))
    return int(integers.sum()), present


def parse_integer_ids(
    text: pa.ChunkedArray, name: str, *, hint: str = ""
) -> tuple[NDArray[np.int64], Faults]:
    """Parse the strings of :func:`id_text` as ids in ``[0, 2^63)``, exact beyond 2^53.

    ``hint`` is appended to the reason "not an integer".
    """
    missing_reason, missing = missing_ids(text, name)
    negative = mask(pc.match_substring_regex(text, _NEGATIVE))
    integer = mask(pc.match_substring_regex(text, _INTEGER))
    digits = pc.binary_length(text).to_numpy()
    large = integer & (
        (digits > len(_LARGEST)) | ((digits == len(_LARGEST)) & mask(pc.greater(text, _LARGEST)))
    )
    values = pc.if_else(pa.array(integer & ~large), text, "0").cast(pa.int64()).to_numpy()
    return values, [
        (missing_reason, missing),
        (f"{name} is negative", negative),
        (f"{name} is not an integer{hint}", ~(missing | negative | integer)),
        (f"{name} is 2^63 or more", large),
    ]


def check_integer_ids(column: pa.ChunkedArray, name: str) -> tuple[NDArray[np.int64], Faults]:
    """Return the ids of an integer column, and the faults of :func:`parse_integer_ids`."""
    missing = mask(pc.is_null(column))
    negative = large = np.zeros(len(column), dtype=bool)
    if pa.types.is_uint64(column.type):
        large = mask(pc.greater(column, pa.scalar(int(_LARGEST), column.type)))
    elif pa.types.is_signed_integer(column.type):
        negative = mask(pc.less(column, pa.scalar(0, column.type)))
    is_bad = pa.array(missing | negative | large)
    values = pc.if_else(is_bad, pa.scalar(0, column.type), column).cast(pa.int64()).to_numpy()
    return values, [
        (f"{name} is missing", missing),
        (f"{name} is negative", negative),
        (f"{name} is 2^63 or more", large),
    ]


def missing_ids(text: pa.ChunkedArray, name: str) -> tuple[str, BoolArray]:
    """Return the fault of ids, as strings of :func:`id_text`, that are missing."""
    return f"{name} is missing", mask(pc.equal(text, ""))


def parse_numbers(
    column: pa.ChunkedArray, name: str, *, booleans: bool = True
) -> tuple[NDArray[np.float64], Faults]:
    """Parse numbers, and numbers written as text, as finite float64 values.

    With ``booleans``, the text ``true`` is 1 and ``false`` is 0, in any case.
    """
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_decimal(column.type)
    ):
        missing = mask(pc.is_null(column))
        values = pc.fill_null(column.cast(pa.float64(), safe=False), 0.0).to_numpy()
        unreadable = np.zeros(len(values), dtype=bool)
    else:
        text = as_text(column)
        missing = mask(pc.equal(text, ""))
        if booleans:
            truth = pc.match_substring_regex(text, _BOOLEAN)
            digits = pc.if_else(pc.equal(pc.ascii_lower(text), "true"), "1", "0")
            text = pc.if_else(truth, digits, text)
        number = mask(pc.match_substring_regex(text, NUMBER))
        not_finite = mask(pc.match_substring_regex(text, _NOT_FINITE))
        values = pc.if_else(pa.array(number), text, "0").cast(pa.float64()).to_numpy().copy()
        values[not_finite] = np.nan
        unreadable = ~(missing | number | not_finite)
    finite = np.isfinite(values)
    return np.where(finite, values, 0.0), [
        (f"{name} is missing", missing),
        (f"{name} is not a number", unreadable),
        (f"{name} is not finite", ~finite),
    ]
