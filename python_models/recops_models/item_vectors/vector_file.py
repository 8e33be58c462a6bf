"""Item vectors in a Parquet file larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from recops_models.data.errors import DataError
from recops_models.data.parquet_file import open_parquet, read_pieces
from recops_models.data.prefetch import ordered_map

ROWS = 1 << 14


class VectorFile:
    """Parquet file with ``item_id`` and one list column of floats, read in blocks of rows.

    Columns are read in blocks of about a megabyte, also if row groups are larger.

    Args:
        path: Parquet file.

    Raises:
        DataError: the file is missing, not Parquet or empty, or has other columns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_parquet(path) as file:
            schema = file.schema_arrow
            self.num_rows: int = file.metadata.num_rows
            self.num_row_groups: int = file.metadata.num_row_groups
        lists = [field.name for field in schema if _is_float_list(field.type)]
        ids = schema.field("item_id").type if "item_id" in schema.names else None
        self.text_ids = str(ids) in ("string", "large_string", "string_view")
        if ids is None or not (pa.types.is_integer(ids) or self.text_ids) or len(lists) != 1:
            columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
            raise DataError(
                f"{path}: must have item_id, integers or text, and one list column of floats, "
                f"got {columns}"
            )
        self._column = lists[0]
        if not self.num_rows:
            raise DataError(f"{path}: must hold at least one vector, got none")
        self.dim = self._width_of_first()

    def item_ids(self) -> NDArray[np.int64]:
        """Return the integer ids ``[N]`` in row order.

        Raises:
            DataError: an id is missing, repeated or text, or the file is damaged.
        """
        if self.text_ids:
            raise DataError(f"{self.path}: item_id must be integers without a data set of text ids")
        ids: NDArray[np.int64] = self._ids().to_numpy().astype(np.int64)
        return ids

    def item_keys(self) -> pa.ChunkedArray:
        """Return the ids as text, ``[N]``, in row order.

        Raises:
            DataError: an id is missing or repeated, or the file is damaged.
        """
        return self._ids().cast(pa.string())

    def _ids(self) -> pa.ChunkedArray:
        pieces = [piece["item_id"] for piece in self._read(ROWS, None, ["item_id"])]
        ids = pa.chunked_array(pieces)
        if self.text_ids:
            ids = ids.cast(pa.string())
        if ids.null_count:
            raise DataError(f"{self.path}: a row has no item_id")
        ordered = ids.take(pa.compute.array_sort_indices(ids))
        repeated = ordered[1:].filter(pa.compute.equal(ordered[1:], ordered[:-1]))
        if len(repeated):
            raise DataError(f"{self.path}: item {repeated[0]} has two vectors")
        return ids

    def vectors(
        self, rows: int = ROWS, row_groups: Sequence[int] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Return blocks ``[≤ rows, D]`` of row groups, in the given order; of all by default.

        Threads read and check the next two blocks in advance.

        Raises:
            DataError: a vector is missing, not finite or of another width, or the file is damaged.
        """
        pieces = self._read(rows, row_groups, [self._column])
        return ordered_map(self._matrix, pieces, workers=1)

    def _width_of_first(self) -> int:
        first = next(self._read(1, None, [self._column]))[self._column]
        width = pa.compute.list_value_length(first)[0].as_py()
        if not width:
            raise DataError(f"{self.path}: lists must hold numbers, but the first has none")
        return int(width)

    def _matrix(self, piece: pa.RecordBatch) -> NDArray[np.float32]:
        column = piece[self._column]
        widths = pa.compute.list_value_length(column).to_numpy(zero_copy_only=False)
        if column.null_count or (widths != self.dim).any():
            raise DataError(
                f"{self.path}: lists must have {self.dim} numbers, like the first, and no nulls"
            )
        flat = pa.compute.list_flatten(column).to_numpy(zero_copy_only=False)
        matrix: NDArray[np.float32] = flat.astype(np.float32).reshape(len(column), self.dim)
        if not np.isfinite(matrix).all():
            raise DataError(f"{self.path}: a vector is not finite")
        return matrix

    def _read(
        self, rows: int, row_groups: Sequence[int] | None, columns: list[str]
    ) -> Iterator[pa.RecordBatch]:
        groups = range(self.num_row_groups) if row_groups is None else row_groups
        return read_pieces(self.path, rows, groups, columns)


def _is_float_list(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds lists of floats."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    is_list = is_list or pa.types.is_fixed_size_list(kind)
    return bool(is_list and pa.types.is_floating(kind.value_type))
