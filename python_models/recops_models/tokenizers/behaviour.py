"""What users did, as tokenizers take it: items met together, and how often each was met."""

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
    """``[E, 2]`` i64: ids of different items at most ``window`` events apart in a history.

    A pair stands there as often as it was met, so that drawing one of them draws by frequency.

    Args:
        histories: of the training part alone.
        item_ids: the ids that the histories' indices stand for.
        window: 1 pairs neighbours only. E ≤ events · window.
    """
    near = [np.stack(pair, axis=1) for pair in histories.near(window)]
    rows = np.concatenate([np.empty((0, 2), dtype=np.int64), *near])
    return torch.from_numpy(item_ids[rows])


def exposures(histories: Histories, num_items: int) -> Tensor:
    """``[num_items]`` f32: how many events of the histories are of each item."""
    known = histories.items[histories.items >= 0]
    return torch.from_numpy(np.bincount(known, minlength=num_items).astype(np.float32))


def load_pairs(path: Path) -> Tensor:
    """A user's own pairs of item ids.

    Args:
        path: ``.npy`` with ``[E, 2]`` integers, or Parquet with two integer columns.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    if path.is_dir():
        raise DataError(f"{path}: must be a file of pairs, found a folder")
    try:
        pairs = _read_parquet(path) if path.suffix == ".parquet" else _read_npy(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (ValueError, EOFError, OSError, BadZipFile) as error:
        raise DataError(f"{path}: not readable as pairs ({error})") from error
    if not isinstance(pairs, np.ndarray):
        raise DataError(f"{path}: must hold integer item ids [E, 2], found an archive")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise DataError(
            f"{path}: must hold integer item ids [E, 2], found {pairs.dtype} {list(pairs.shape)}"
        )
    return torch.from_numpy(pairs.astype(np.int64))


def _read_parquet(path: Path) -> NDArray[np.generic]:
    columns = pa.parquet.ParquetFile(path).read().columns
    return np.stack([column.to_numpy() for column in columns], axis=1)


def _read_npy(path: Path) -> object:
    """An array, or the archive that numpy takes some files for."""
    with path.open("rb") as file:  # np.load leaves a broken archive open.
        return np.load(file, allow_pickle=False)
