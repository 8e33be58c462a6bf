"""Item vectors and their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from recops.files import load_tensors, save_tensors
from recops_models.data.errors import DataError
from recops_models.item_vectors.row_order import check_order, ids_of_rows
from recops_models.item_vectors.vector_file import VectorFile


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """One vector per item.

    Attributes:
        item_ids: ``[N]`` i64, ascending and unique.
        vectors: ``[N, D]`` f32, finite.
    """

    item_ids: NDArray[np.int64]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.item_ids)


_KIND = "item-vectors"


def write_item_vectors(path: Path, items: ItemVectors) -> None:
    """Write ``items`` to a sealed safetensors file."""
    tensors = {"item_ids": items.item_ids, "vectors": items.vectors}
    save_tensors(path, {n: torch.from_numpy(a) for n, a in tensors.items()}, kind=_KIND)


def read_item_vectors(path: Path) -> ItemVectors:
    """Read what :func:`write_item_vectors` wrote.

    Raises:
        CorruptFileError: the file is damaged or of another kind.
        FileNotFoundError: the file does not exist.
    """
    tensors, _ = load_tensors(path, kind=_KIND)
    return ItemVectors(tensors["item_ids"].numpy(), tensors["vectors"].numpy())


def load_item_vectors(
    path: Path,
    item_ids: NDArray[np.int64] | None = None,
    item_keys: pa.ChunkedArray | None = None,
    *,
    order: str | None = None,
) -> ItemVectors:
    """Load vectors from a user's file.

    Args:
        path: ``.npy`` with ``[N, D]`` floats, or Parquet with ``item_id`` and one list column of
            floats, in any order.
        item_ids: ids of the catalogue, ascending; each item must have a vector. None: the ids of
            the file, which are 0 … N−1 for ``.npy`` without ``order``.
        item_keys: text ids of the catalogue, in the order of ``item_ids``, by which a Parquet file
            or an ``order`` file names items; None: ids are integers.
        order: order of the rows of ``.npy``: ``"id"`` (ascending item ids), or the path of a file
            of item ids; see :func:`~recops_models.item_vectors.row_order.check_order`.

    Raises:
        DataError: the file cannot be read, or a shape, an id or a number in it is invalid.
        ValueError: ``order`` is missing, or has no meaning for this file.
    """
    check_order(path, order, has_catalogue=item_ids is not None)
    try:
        if path.suffix == ".parquet":
            items = _read_parquet(path, item_ids, item_keys)
        else:
            items = _read_npy(path, item_ids, item_keys, order)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    finite = np.isfinite(items.vectors).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        raise DataError(
            f"{path}: {int((~finite).sum())} vectors are not finite, the first is that of item "
            f"{items.item_ids[row]}"
        )
    return items if item_ids is None else _select(items, item_ids, item_keys, path)


def _read_npy(
    path: Path,
    item_ids: NDArray[np.int64] | None,
    item_keys: pa.ChunkedArray | None,
    order: str | None,
) -> ItemVectors:
    try:
        with path.open("rb") as file:  # np.load(path) does not close a broken archive
            vectors = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: not a .npy file of numbers ({error})") from error
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind != "f":
        content = (
            f"{vectors.dtype} {list(vectors.shape)}"
            if isinstance(vectors, np.ndarray)
            else "an archive"
        )
        raise DataError(f"{path}: must hold floats [items, dimensions], got {content}")
    vectors = vectors.astype(np.float32)
    if order is None:
        return ItemVectors(np.arange(len(vectors)), vectors)
    ids = ids_of_rows(order, len(vectors), path, item_ids, item_keys)
    rows = np.argsort(ids, kind="stable")
    rows = rows[ids[rows] >= 0]
    return ItemVectors(ids[rows], vectors[rows])


def _read_parquet(
    path: Path, item_ids: NDArray[np.int64] | None, item_keys: pa.ChunkedArray | None
) -> ItemVectors:
    file = VectorFile(path)
    if item_ids is None or item_keys is None:
        ids, vectors = file.item_ids(), np.concatenate(list(file.vectors()))
    else:
        index = pc.index_in(file.item_keys(), value_set=item_keys.combine_chunks())
        known = index.is_valid().to_numpy()
        ids = item_ids[index.drop_null().to_numpy()]
        vectors = np.concatenate(list(file.vectors()))[known]
    order = np.argsort(ids, kind="stable")
    return ItemVectors(ids[order], vectors[order])


def _select(
    items: ItemVectors,
    item_ids: NDArray[np.int64],
    item_keys: pa.ChunkedArray | None,
    path: Path,
) -> ItemVectors:
    """Return the vectors of ``item_ids``.

    Raises:
        DataError: an item has no vector.
    """
    if not len(items):
        raise DataError(f"{path}: no vector for any of {len(item_ids):,} items")
    rows = np.searchsorted(items.item_ids, item_ids)
    rows[rows == len(items)] = 0
    missing = np.flatnonzero(items.item_ids[rows] != item_ids)
    if len(missing):
        example = (item_ids if item_keys is None else item_keys)[int(missing[0])]
        raise DataError(f"{path}: no vector for {len(missing):,} items, such as {example}")
    return ItemVectors(item_ids, items.vectors[rows])
