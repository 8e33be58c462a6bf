"""Items of the rows of a ``.npy`` file of vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.columns import parse_integer_ids
from recops_models.data.errors import DataError
from recops_models.data.id_file import IdFile

BY_ID = "id"
"""The order of ascending item ids."""


def check_order(vectors: Path | None, order: str | None, *, has_catalogue: bool) -> None:
    """Check that ``order`` and ``vectors`` determine the item of each row.

    Args:
        vectors: a Parquet file carries item ids, a ``.npy`` file does not; None: there is no file.
        order: :data:`BY_ID`, a file of item ids in the order of the rows, or None.
        has_catalogue: whether the vectors belong to the items of a data set. Without one, row ``i``
            of a ``.npy`` file is item ``i``, unless a file of ids says otherwise.

    Raises:
        ValueError: ``order`` is missing, or has no meaning for this file.
    """
    if vectors is None:
        if order is not None:
            raise ValueError(f"order must come with a file of vectors, got {order!r} alone")
    elif vectors.suffix == ".parquet":
        if order is not None:
            raise ValueError(
                f"{vectors}: order must be left out, since the file has item_id, got {order!r}"
            )
    elif has_catalogue and order is None:
        raise ValueError(
            f"{vectors}: a .npy file has no item ids, so order must give the item of each "
            "row: 'id' (rows by ascending item id; text ids in alphabetical order), or a "
            "file of item ids in the order of the rows (the column item_id of .csv or .parquet, or "
            "one id per line)"
        )
    elif not has_catalogue and order == BY_ID:
        raise ValueError(
            f"{vectors}: order 'id' needs a data set, whose ids it follows; without one, row i is "
            "item i, or order must be a file of item ids"
        )


def ids_of_rows(
    order: str,
    num_rows: int,
    vectors: Path,
    item_ids: NDArray[np.int64] | None,
    item_keys: pa.ChunkedArray | None,
) -> NDArray[np.int64]:
    """Return the item id of each row, ``[num_rows]``; −1 for items that are not in the catalogue.

    Args:
        order: :data:`BY_ID`, or a file; see :class:`~recops_models.data.id_file.IdFile`.
        num_rows: number of vectors.
        vectors: file of the vectors, for error messages.
        item_ids: ``[N]``, the catalogue, ascending; None: the file's ids are taken as they are.
        item_keys: ``[N]``, the catalogue's text ids; None: ids are integers.

    Raises:
        DataError: the number of ids differs from the number of rows, an id is repeated, or an id is
            no integer although the catalogue has integer ids.
    """
    if order == BY_ID:
        assert item_ids is not None
        if num_rows != len(item_ids):
            raise DataError(
                f"{vectors}: must hold {len(item_ids):,} rows, one per item, got {num_rows:,}"
            )
        return item_ids
    file = IdFile.read(Path(order), "item")
    if len(file.keys) != num_rows:
        raise DataError(
            f"{order}: must name {num_rows:,} items, one per row of {vectors}, got "
            f"{len(file.keys):,}"
        )
    _, first = np.unique(file.keys.to_numpy(zero_copy_only=False), return_index=True)
    is_repeated = np.ones(num_rows, dtype=bool)
    is_repeated[first] = False
    file.refuse(is_repeated, "is listed twice")
    if item_ids is not None and item_keys is not None:
        index = pc.index_in(file.keys, value_set=item_keys.combine_chunks())
        rows = pc.fill_null(index, -1).to_numpy(zero_copy_only=False)
        return np.where(rows < 0, -1, item_ids[rows])
    ids, faults = parse_integer_ids(pa.chunked_array([file.keys]), "item_id")
    for reason, bad in faults:
        file.refuse(bad, f"must be an integer id: {reason}")
    return ids
