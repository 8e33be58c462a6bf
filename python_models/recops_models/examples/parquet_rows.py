"""A Parquet file of click examples, read in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from recops_models.data.errors import DataError
from recops_models.data.parquet_file import open_parquet, read_pieces
from recops_models.examples.features import Categorical, FeatureSchema, Numeric, Sequence

_ROWS = 1 << 14


class ParquetRows:
    """The columns of ``schema`` in the Parquet file ``path``.

    Rows are read in pieces of 16,384, and columns by the megabyte, so that memory does not depend
    on the size of row groups.

    Raises:
        DataError: the file is missing or not Parquet; a column is missing or has a wrong type.
    """

    def __init__(self, path: Path, schema: FeatureSchema) -> None:
        self.path = path
        self._columns = [feature.name for feature in schema.features]
        self._columns += [schema.label] if schema.group is None else [schema.label, schema.group]
        with open_parquet(path) as file:
            self.num_row_groups = file.metadata.num_row_groups
            self.num_rows = file.metadata.num_rows
            check_types(path, file.schema_arrow, schema)

    def pieces(self, row_groups: Iterable[int] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the given row groups in order; None reads all.

        Raises:
            DataError: the file is damaged.
        """
        groups = list(range(self.num_row_groups) if row_groups is None else row_groups)
        return read_pieces(self.path, _ROWS, groups, list(dict.fromkeys(self._columns)))


def check_types(source: Path | str, columns: pa.Schema, schema: FeatureSchema) -> None:
    """Check that columns have the types that the features of a schema need.

    Args:
        source: origin of the columns, for errors.
        columns: names and types.
        schema: the features.

    Raises:
        DataError: a column is missing or has a wrong type.
    """
    for feature in schema.features:
        is_binned = schema.is_binned(feature.name)
        if isinstance(feature, Numeric) or (is_binned and isinstance(feature, Categorical)):
            require_type(source, columns, feature.name, is_number, "numbers")
        elif schema.max_values(feature.name) is not None:
            fits, expected = is_list_of(is_key), "lists of integers or strings"
            if isinstance(feature, Sequence):
                fits, expected = is_list_of(fits), f"lists of {expected}"
            require_type(source, columns, feature.name, fits, expected)
        elif isinstance(feature, Categorical):
            require_type(source, columns, feature.name, is_key, "integers or strings")
        elif isinstance(feature, Sequence) and not is_binned:
            require_type(
                source, columns, feature.name, is_list_of(is_key), "lists of integers or strings"
            )
        else:
            require_type(source, columns, feature.name, is_list_of(is_number), "lists of numbers")
    require_type(source, columns, schema.label, is_number, "numbers")
    if schema.group is not None:
        try:
            require_type(source, columns, schema.group, pa.types.is_integer, "integers")
        except DataError as error:
            raise DataError(
                f"{error}; it is the group of features.json, by which gAUC groups examples: name "
                'an integer column, or set "group" to null'
            ) from None


def require_type(
    source: Path | str,
    columns: pa.Schema,
    name: str,
    fits: Callable[[pa.DataType], bool],
    expected: str,
) -> None:
    """Check that the column ``name`` exists and has a type that fits.

    Raises:
        DataError: it is missing, or does not hold what is ``expected``.
    """
    if name not in columns.names:
        available = ", ".join(columns.names) or "none"
        raise DataError(f"{source}: no column {name!r} (columns: {available})")
    kind = columns.field(name).type
    if not fits(kind):
        raise DataError(f"{source}: column {name!r} must hold {expected}, got {kind}")


def is_key(kind: pa.DataType) -> bool:
    """Return whether a type is one of integers or strings."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
    )


def is_number(kind: pa.DataType) -> bool:
    """Return whether a type is one of numbers."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )


def is_list_of(fits: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    """Return the check of types of lists whose values have a type that fits."""

    def is_list(kind: pa.DataType) -> bool:
        ragged = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        return (ragged or pa.types.is_fixed_size_list(kind)) and fits(kind.value_type)

    return is_list
