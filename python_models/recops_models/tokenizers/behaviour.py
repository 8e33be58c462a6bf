"""User behaviour as input of tokenizers: pairs of nearby items, and exposures."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.errors import DataError
from recops_models.data.histories import Histories

WINDOW = 5


def behaviour_pairs(
    histories: Histories, item_ids: NDArray[np.int64], *, window: int = WINDOW
) -> Tensor:
    """Return pairs of different items at most ``window`` events apart, ``[E, 2]`` i64 ids.

    A pair is repeated for each occurrence, so a uniform draw is a draw by frequency.

    Args:
        histories: histories of the training part only.
        item_ids: the item id of each item index.
        window: largest distance; 1 pairs adjacent events only. E ≤ events · window.
    """
    near = [np.stack(pair, axis=1) for pair in histories.near(window)]
    rows = np.concatenate([np.empty((0, 2), dtype=np.int64), *near])
    return torch.from_numpy(item_ids[rows])


def exposures(histories: Histories, num_items: int) -> Tensor:
    """Return the number of events of each item, ``[num_items]`` f32."""
    known = histories.items[histories.items >= 0]
    return torch.from_numpy(np.bincount(known, minlength=num_items).astype(np.float32))


def load_pairs(path: Path) -> Tensor:
    """Load pairs of item ids from a file.

    Args:
        path: ``.npy`` with ``[E, 2]`` integers, or Parquet with two integer columns.

    Raises:
        DataError: the file cannot be read, or does not hold pairs.
    """
    if path.is_dir():
        raise DataError(f"{path}: must be a file of pairs, got a folder")
    try:
        pairs = _read_parquet(path) if path.suffix == ".parquet" else _read_npy(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (ValueError, EOFError, OSError, BadZipFile) as error:
        raise DataError(f"{path}: not readable as pairs ({error})") from error
    if not isinstance(pairs, np.ndarray):
        raise DataError(f"{path}: must hold integer item ids [E, 2], got an archive")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise DataError(
            f"{path}: must hold integer item ids [E, 2], got {pairs.dtype} {list(pairs.shape)}"
        )
    return torch.from_numpy(pairs.astype(np.int64))


def _read_parquet(path: Path) -> NDArray[np.generic]:
    columns = pa.parquet.ParquetFile(path).read().columns
    return np.stack([column.to_numpy() for column in columns], axis=1)


def _read_npy(path: Path) -> object:
    """Return an array, or an archive if numpy reads the file as one."""
    with path.open("rb") as file:  # np.load(path) does not close a broken archive
        return np.load(file, allow_pickle=False)
