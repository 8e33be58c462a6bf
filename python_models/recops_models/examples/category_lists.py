"""Columns of lists of categories as rows of one embedding table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.errors import DataError
from recops_models.examples.lookup import PADDING, UNKNOWN, Lookup

MAX_VALUES = 8
"""Number of values of a list that click models read."""


def list_rows(
    lookup: Lookup, lists: pa.Array | pa.ChunkedArray, max_values: int
) -> NDArray[np.int64]:
    """Return the rows ``[n, max_values]`` of each list's first values, right-padded with 0.

    A missing list is one unknown value. O(values).

    Args:
        lookup: vocabulary of the table.
        lists: ``[n]`` lists of integers or strings.
        max_values: number of values of a list that are read.

    Raises:
        DataError: the column holds no lists, or lists of another kind than in the training part.

    Example:
        >>> import pyarrow as pa
        >>> from recops_models.data.vocabulary import Vocabulary
        >>> from recops_models.examples.lookup import Lookup
        >>> tags = pa.array([[5, 9], [], None, [7]])
        >>> list_rows(Lookup(Vocabulary.of([5, 7])), tags, max_values=2).tolist()
        [[2, 1], [0, 0], [1, 0], [3, 0]]
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
    values = lookup.rows(pc.list_flatten(lists))
    rows = np.full((len(lists), max_values), PADDING)
    rows[owner[is_read], position[is_read]] = values[is_read]
    if lists.null_count:
        rows[pc.is_null(lists).to_numpy(zero_copy_only=False), 0] = UNKNOWN
    return rows


def longest_list(column: pa.ChunkedArray) -> int:
    """Return the length of a column's longest list, at least 1."""
    longest: int | None = pc.max(pc.list_value_length(column)).as_py()
    return max(1, longest or 0)
