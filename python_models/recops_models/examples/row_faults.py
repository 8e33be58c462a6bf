"""Checks of streamed click examples, and the count of the rows that fail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.columns import BoolArray
from recops_models.data.histories import Int64Array
from recops_models.data.report import BadRows
from recops_models.examples.fault_counts import Fault, FaultCounts
from recops_models.examples.features import FeatureSchema, Numeric, Sequence, Vector


@dataclass
class RowFaults:
    """Filter and counter of one file's bad rows.

    A row counts once, under its first fault:

    - the label is missing, not a number, negative, or neither 0 nor 1;
    - the group is missing;
    - a number is infinite;
    - a sequence is missing, has a null that is not padding, or differs in length from another
      sequence of its history;
    - a vector is missing, has a wrong size, or is not finite.

    Missing categorical values and numbers are valid: they become the unknown row and 0.

    Attributes:
        file: name of the file.
        schema: the features.
    """

    file: str
    schema: FeatureSchema

    def __post_init__(self) -> None:
        self._counts = FaultCounts(self.file)

    @property
    def bad_rows(self) -> tuple[BadRows, ...]:
        """The bad rows so far, by reason."""
        return self._counts.bad_rows

    def valid_rows(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        """Return the valid rows of the file's next piece, and count the others."""
        good = self._counts.valid(piece, _faults(piece, self.schema))
        return piece if good.all() else piece.filter(pa.array(good))


def _faults(piece: pa.RecordBatch, schema: FeatureSchema) -> list[Fault]:
    label = numbers(piece[schema.label])
    faults = [
        (schema.label, "is missing", nulls(piece[schema.label])),
        (schema.label, "is not a number", np.isnan(label)),
        (schema.label, "is negative", label < 0),
        (schema.label, "is neither 0 nor 1", (label != 0) & (label != 1)),
    ]
    if schema.group is not None:
        faults.append((schema.group, "is missing", nulls(piece[schema.group])))
    for feature in schema.features:
        name = feature.name
        if isinstance(feature, Numeric):
            faults.append((name, "is infinite", np.isinf(numbers(piece[name]))))
        elif isinstance(feature, Sequence):
            faults.append((name, "is null", nulls(piece[name])))
            if piece[name].flatten().null_count:
                gap = gaps(piece[name], feature.padding)
                faults.append((name, f"has a null that is not {feature.padding}-padding", gap))
        elif isinstance(feature, Vector):
            faults.append((name, "is null", nulls(piece[name])))
            wrong = list_lengths(piece[name]) != feature.size
            faults.append((name, f"does not have {feature.size} numbers", wrong))
            faults.append((name, "is not finite", not_finite(piece[name])))
    for first, *others in schema.histories.values():
        for other in others:
            wrong = num_values(piece[other.name]) != num_values(piece[first.name])
            faults.append((other.name, f"differs in length from {first.name}", wrong))
    return faults


def nulls(column: pa.Array) -> BoolArray:
    """Return a mask of the nulls of a column."""
    if not column.null_count:
        return np.zeros(len(column), dtype=bool)
    result: BoolArray = column.is_null().to_numpy(zero_copy_only=False)
    return result


def numbers(column: pa.Array) -> NDArray[np.float64]:
    """Return a column as float64; null becomes NaN."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    result: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(
        zero_copy_only=False
    )
    return result


def list_lengths(column: pa.Array) -> Int64Array:
    """Return the length of each list, nulls included; a null row has length 0."""
    lengths: Int64Array = (
        pc.fill_null(pc.list_value_length(column), 0)
        .to_numpy(zero_copy_only=False)
        .astype(np.int64)
    )
    return lengths


def num_values(column: pa.Array) -> Int64Array:
    """Return the number of values in each list, without nulls."""
    lengths = list_lengths(column)
    if not column.flatten().null_count:
        return lengths
    owner = np.repeat(np.arange(len(lengths)), lengths)
    valid = column.flatten().is_valid().to_numpy(zero_copy_only=False)
    return np.bincount(owner[valid], minlength=len(lengths))


def gaps(column: pa.Array, padding: str) -> BoolArray:
    """Return a mask of lists with nulls that are not padding.

    With ``"post"``, nulls may only follow all values; with ``"pre"``, only precede them.
    """
    lengths = list_lengths(column)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    valid = column.flatten().is_valid().to_numpy(zero_copy_only=False)
    count = np.bincount(owner, weights=valid, minlength=len(lengths)).astype(np.int64)
    position = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    if padding == "post":
        expected = position < count[owner]
    else:
        expected = position >= (lengths - count)[owner]
    return np.bincount(owner[valid != expected], minlength=len(lengths)) > 0


def not_finite(column: pa.Array) -> BoolArray:
    """Return a mask of lists with a value that is null, NaN or infinite."""
    lengths = list_lengths(column)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    values = numbers(column.flatten())
    return np.bincount(owner[~np.isfinite(values)], minlength=len(lengths)) > 0
