"""Encoding of checked Parquet rows as blocks of examples."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array
from recops_models.examples.block import Block, Column, Ragged
from recops_models.examples.features import Categorical, FittedSchema, Numeric, Sequence
from recops_models.examples.lookup import as_keys
from recops_models.examples.row_faults import num_values, numbers


def encode(rows: pa.RecordBatch, fitted: FittedSchema) -> Block:
    """Encode valid rows as a block.

    Raises:
        DataError: a column holds strings but held integers in the training part, or the reverse.
    """
    schema = fitted.schema
    columns: dict[str, Column] = {}
    sequences = []
    for feature in schema.features:
        name, column = feature.name, rows[feature.name]
        if isinstance(feature, Categorical):
            columns[name] = Column(_rows_of(fitted, name, column))
        elif isinstance(feature, Numeric):
            columns[name] = Column(fitted.standardised(name, numbers(column)))
        elif isinstance(feature, Sequence):
            values, lengths = last_values(column, feature.max_len)
            sequences.append(
                Ragged(np.cumsum(lengths), lengths, {name: _rows_of(fitted, name, values)})
            )
        else:
            vectors = numbers(column.flatten()).astype(np.float32)
            columns[name] = Column(vectors.reshape(-1, feature.size))
    group = np.zeros(rows.num_rows, dtype=np.int64)
    if schema.group is not None:
        group = as_keys(rows[schema.group]).to_numpy()
    label = numbers(rows[schema.label]).astype(np.float32)
    return Block(columns, tuple(sequences), label, Column(group))


def _rows_of(fitted: FittedSchema, name: str, values: pa.Array) -> NDArray[np.int32]:
    try:
        return fitted.rows(name, values).astype(np.int32)
    except DataError as error:
        raise DataError(f"column {name!r}: {error}") from None


def last_values(column: pa.Array, max_len: int) -> tuple[pa.Array, Int64Array]:
    """Return the last ``max_len`` values of each list without padding: flat values, and lengths."""
    lengths, values = num_values(column), column.flatten().drop_null()
    if lengths.max(initial=0) > max_len:
        from_end = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(values))
        values = values.filter(pa.array(from_end <= max_len))
        lengths = np.minimum(lengths, max_len)
    return values, lengths
