"""Columns of lists of categories: their values, and the index of the values of each row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.errors import DataError
from recops_models.examples.lookup import PADDING, UNKNOWN

MAX_VALUES = 8
"""Number of values of a list that click models read."""


def list_values(
    lists: pa.Array | pa.ChunkedArray, max_values: int
) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return all values, and where the first ``max_values`` values of each list are among them.

    The table rows of the lists are ``concatenate([[PADDING, UNKNOWN], rows])[index]``, where
    ``rows`` are those of the values. A missing list is one unknown value. O(values).

    Args:
        lists: ``[n]`` lists of integers or strings.
        max_values: number of values of a list that are read.

    Returns:
        The values ``[v]`` of all lists, and the index ``[n, max_values]``: 0 after the last value,
        1 for an unknown value, ``2 + i`` for value ``i``.

    Raises:
        DataError: the column holds no lists.

    Example:
        >>> import pyarrow as pa
        >>> values, index = list_values(pa.array([[5, 9], [], None, [7]]), max_values=2)
        >>> values.to_pylist(), index.tolist()
        ([5, 9, 7], [[2, 3], [0, 0], [1, 0], [4, 0]])
    """
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        raise DataError(f"must hold lists, as in the training part, got {lists.type}")
    if isinstance(lists, pa.ChunkedArray):
        lists = lists.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    lengths = lengths.astype(np.int64)
    owner = np.repeat(np.arange(len(lists)), lengths)
    position = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    is_read = position < max_values
    index = np.full((len(lists), max_values), PADDING)
    index[owner[is_read], position[is_read]] = UNKNOWN + 1 + np.flatnonzero(is_read)
    if lists.null_count:
        index[pc.is_null(lists).to_numpy(zero_copy_only=False), 0] = UNKNOWN
    return pc.list_flatten(lists), index
