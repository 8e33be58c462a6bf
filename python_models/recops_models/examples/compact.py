"""Arrays of the smallest integer type that holds their values."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

IndexArray: TypeAlias = NDArray[np.integer]
"""Integers of any width. Widen them to i64 before arithmetic, which wraps around silently."""

_COUNTS = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32), np.dtype(np.uint64))


def index_type(size: int) -> np.dtype[np.integer]:
    """Return int32, or int64 if an index below ``size`` does not fit."""
    return np.dtype(np.int32 if size <= 2**31 else np.int64)


def smallest_type(largest: int) -> np.dtype[np.integer]:
    """Return the smallest unsigned integer type that holds 0 … ``largest``."""
    return next(kind for kind in _COUNTS if largest <= np.iinfo(kind).max)
