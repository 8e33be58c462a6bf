"""Item vectors as a value, and a user's own from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
import torch
from numpy.typing import NDArray

from recops.files import load_tensors, save_tensors
from recops_models.data.errors import DataError


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """One vector an item.

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
    """Keep ``items`` in a sealed safetensors file."""
    tensors = {"item_ids": items.item_ids, "vectors": items.vectors}
    save_tensors(path, {n: torch.from_numpy(a) for n, a in tensors.items()}, kind=_KIND)


def read_item_vectors(path: Path) -> ItemVectors:
    """What :func:`write_item_vectors` wrote.

    Raises:
        CorruptFileError: damaged, truncated or foreign.
        FileNotFoundError: no such file.
    """
    tensors, _ = load_tensors(path, kind=_KIND)
    return ItemVectors(tensors["item_ids"].numpy(), tensors["vectors"].numpy())


def load_item_vectors(path: Path, item_ids: NDArray[np.int64] | None = None) -> ItemVectors:
    """A user's own vectors.

    Args:
        path: ``.npy`` with ``[N, D]`` floats, row ``i`` for the ``i``-th smallest item id; or
            Parquet with ``item_id`` and one list column of floats, in any order.
        item_ids: the catalogue, ascending: each item must have its vector. None takes the file's
            own ids, which are 0 … N−1 for ``.npy``.

    Raises:
        DataError: the file cannot be read; a shape, an id or a number in it is unfit.
    """
    try:
        read = _read_parquet(path) if path.suffix == ".parquet" else _read_npy(path, item_ids)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    finite = np.isfinite(read.vectors).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        raise DataError(
            f"{path}: {int((~finite).sum())} vectors are not finite, the first that of item "
            f"{read.item_ids[row]}"
        )
    return read if item_ids is None else _select(read, item_ids, path)


def _read_npy(path: Path, item_ids: NDArray[np.int64] | None) -> ItemVectors:
    try:
        vectors = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: not a .npy file of numbers ({error})") from error
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind != "f":
        found = getattr(vectors, "shape", "an archive"), getattr(vectors, "dtype", None)
        raise DataError(f"{path}: floats of shape [items, dimensions] are due, found {found}")
    ids = np.arange(len(vectors)) if item_ids is None else item_ids
    if len(ids) != len(vectors):
        raise DataError(f"{path}: {len(vectors):,} rows for {len(ids):,} items; one each is due")
    return ItemVectors(ids, vectors.astype(np.float32))


def _read_parquet(path: Path) -> ItemVectors:
    try:
        table = pa.parquet.ParquetFile(path).read()
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not readable as Parquet ({error})") from error
    lists = [field.name for field in table.schema if is_float_list(field.type)]
    if "item_id" not in table.column_names or len(lists) != 1:
        found = ", ".join(f"{field.name} ({field.type})" for field in table.schema)
        raise DataError(f"{path}: item_id and one list column of floats are due, found {found}")
    ids, vectors = table["item_id"].combine_chunks(), table[lists[0]].combine_chunks()
    widths = np.unique(pa.compute.list_value_length(vectors).to_numpy(zero_copy_only=False))
    if (
        not pa.types.is_integer(ids.type)
        or ids.null_count
        or vectors.null_count
        or len(widths) != 1
    ):
        raise DataError(f"{path}: integer ids and lists of one length are due, without nulls")
    order = np.argsort(ids.to_numpy(), kind="stable")
    sorted_ids = ids.to_numpy()[order].astype(np.int64)
    if (sorted_ids[1:] == sorted_ids[:-1]).any():
        repeated = sorted_ids[1:][sorted_ids[1:] == sorted_ids[:-1]][0]
        raise DataError(f"{path}: item {repeated} has two vectors")
    flat = pa.compute.list_flatten(vectors).to_numpy(zero_copy_only=False)
    return ItemVectors(sorted_ids, flat.reshape(len(ids), int(widths[0]))[order].astype(np.float32))


def is_float_list(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold vectors."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    is_list = is_list or pa.types.is_fixed_size_list(kind)
    return bool(is_list and pa.types.is_floating(kind.value_type))


def _select(read: ItemVectors, item_ids: NDArray[np.int64], path: Path) -> ItemVectors:
    """The vectors of ``item_ids``, which must all be there."""
    rows = np.searchsorted(read.item_ids, item_ids)
    rows[rows == len(read)] = 0
    missing = item_ids[read.item_ids[rows] != item_ids]
    if len(missing):
        raise DataError(f"{path}: no vector for {len(missing):,} items, such as {missing[0]}")
    return ItemVectors(item_ids, read.vectors[rows])
