"""The sieve of streamed click examples: which rows are bad, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.columns import BoolArray
from recops_models.data.histories import Int64Array
from recops_models.data.report import BadRows
from recops_models.examples.features import FeatureSchema, Numeric, Sequence, Vector


@dataclass
class RowFaults:
    """Takes bad rows out of pieces of one file, and counts them by reason.

    Each row counts once, under the first reason found: the label is missing, not a number, negative
    or neither 0 nor 1; the group is missing; a number is infinite; a sequence is missing, has a
    null that is no padding, or another length than others of its history; a vector is missing, of
    another size, or not finite. A missing value of a categorical feature is unknown, a missing
    number is 0 after standardisation: no faults.

    Attributes:
        file: its name.
        schema: the features.
    """

    file: str
    schema: FeatureSchema
    _rows: int = 0
    _found: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def bad_rows(self) -> tuple[BadRows, ...]:
        """What was taken out so far."""
        return tuple(BadRows(self.file, why, *found) for why, found in self._found.items())

    def sieve(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        """The good rows of the file's next piece."""
        good = np.ones(piece.num_rows, dtype=bool)
        for column, reason, bad in _faults(piece, self.schema):
            fresh = bad & good
            if not fresh.any():
                continue
            good &= ~bad
            row = int(fresh.argmax())
            shown = f"row {self._rows + row + 1}: {_short(piece[column][row].as_py())}"
            key = f"{column} {reason}"
            count, example = self._found.get(key, (0, shown))
            self._found[key] = (count + int(fresh.sum()), example)
        self._rows += piece.num_rows
        return piece if good.all() else piece.filter(pa.array(good))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _faults(piece: pa.RecordBatch, schema: FeatureSchema) -> list[tuple[str, str, BoolArray]]:
    label = numbers(piece[schema.label])
    found = [
        (schema.label, "is missing", nulls(piece[schema.label])),
        (schema.label, "is not a number", np.isnan(label)),
        (schema.label, "is negative", label < 0),
        (schema.label, "is neither 0 nor 1", (label != 0) & (label != 1)),
    ]
    if schema.group is not None:
        found.append((schema.group, "is missing", nulls(piece[schema.group])))
    for feature in schema.features:
        name = feature.name
        if isinstance(feature, Numeric):
            found.append((name, "is infinite", np.isinf(numbers(piece[name]))))
        elif isinstance(feature, Sequence):
            found.append((name, "is null", nulls(piece[name])))
            if piece[name].flatten().null_count:
                gap = gaps(piece[name], feature.padding)
                found.append((name, f"has a null that is not {feature.padding}-padding", gap))
        elif isinstance(feature, Vector):
            found.append((name, "is null", nulls(piece[name])))
            wrong = list_lengths(piece[name]) != feature.size
            found.append((name, f"has not {feature.size} numbers", wrong))
            found.append((name, "is not finite", not_finite(piece[name])))
    for first, *others in schema.histories.values():
        for other in others:
            wrong = num_values(piece[other.name]) != num_values(piece[first.name])
            found.append((other.name, f"has not as many values as {first.name}", wrong))
    return found


def nulls(column: pa.Array) -> BoolArray:
    """Where a column is null."""
    if not column.null_count:
        return np.zeros(len(column), dtype=bool)
    result: BoolArray = column.is_null().to_numpy(zero_copy_only=False)
    return result


def numbers(column: pa.Array) -> NDArray[np.float64]:
    """A column as float64; null is NaN."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    result: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(
        zero_copy_only=False
    )
    return result


def list_lengths(column: pa.Array) -> Int64Array:
    """Values per row of a list column, nulls among them included; a null row has none."""
    lengths: Int64Array = (
        pc.fill_null(pc.list_value_length(column), 0)
        .to_numpy(zero_copy_only=False)
        .astype(np.int64)
    )
    return lengths


def num_values(column: pa.Array) -> Int64Array:
    """Values per row of a list column, without nulls."""
    lengths = list_lengths(column)
    if not column.flatten().null_count:
        return lengths
    owner = np.repeat(np.arange(len(lengths)), lengths)
    valid = column.flatten().is_valid().to_numpy(zero_copy_only=False)
    return np.bincount(owner[valid], minlength=len(lengths))


def gaps(column: pa.Array, padding: str) -> BoolArray:
    """Rows with a null before a value where nulls stand behind (post), or behind one (pre)."""
    lengths = list_lengths(column)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    valid = column.flatten().is_valid().to_numpy(zero_copy_only=False)
    count = np.bincount(owner, weights=valid, minlength=len(lengths)).astype(np.int64)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    due = place < count[owner] if padding == "post" else place >= (lengths - count)[owner]
    return np.bincount(owner[valid != due], minlength=len(lengths)) > 0


def not_finite(column: pa.Array) -> BoolArray:
    """Rows of a list column with a value that is null, NaN or infinite."""
    lengths = list_lengths(column)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    values = numbers(column.flatten())
    return np.bincount(owner[~np.isfinite(values)], minlength=len(lengths)) > 0
