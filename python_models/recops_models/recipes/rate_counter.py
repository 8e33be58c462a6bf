"""Counter of training examples by integer key."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from recops_models.data.histories import AnyArray, Int64Array
from recops_models.layers.rate_table import ABSENT, RateTable

_MOST_PENDING = 1 << 22
"""Keys that a counter stores before it merges them."""


class RateCounter:
    """Counter of examples by key, for the rows of a :class:`RateTable`.

    Example:
        >>> import numpy as np
        >>> from recops_models.recipes.rate_counter import RateCounter
        >>> counter = RateCounter()
        >>> counter.add(np.array([3, 3, 8]), np.array([True, False, False]))
        >>> counter.table().keys
        tensor([-1,  3,  8])
    """

    def __init__(self) -> None:
        self._keys: Int64Array = np.empty(0, dtype=np.int64)
        self._counts = np.empty((0, 2))
        self._pending: list[tuple[Int64Array, AnyArray]] = []
        self._num_pending = 0

    def add(self, keys: Int64Array, positive: NDArray[np.bool_]) -> None:
        """Count examples with these keys ``[n]`` and labels ``[n]``; skip :data:`ABSENT`."""
        known = keys >= 0
        self._pending.append((keys[known], positive[known]))
        self._num_pending += len(keys)
        if self._num_pending > max(_MOST_PENDING, len(self._keys)):
            self._merge()

    def table(self, divisor: int = 1) -> RateTable:
        """Return the counts by ``key // divisor``."""
        self._merge()
        keys, index = np.unique(self._keys // divisor, return_inverse=True)
        counts = _summed(index, self._counts, len(keys))
        return RateTable(
            torch.from_numpy(np.insert(keys, 0, ABSENT)),
            torch.from_numpy(np.insert(counts, 0, 0, axis=0)).float(),
        )

    def _merge(self) -> None:
        added = [np.column_stack([np.ones(len(each)), each]) for _, each in self._pending]
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._pending)])
        counts = np.concatenate([self._counts, *added])
        self._keys, index = np.unique(keys, return_inverse=True)
        self._counts = _summed(index, counts, len(self._keys))
        self._pending, self._num_pending = [], 0


def _summed(index: Int64Array, counts: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the sums ``[size, 2]`` of the rows of ``counts`` with the same ``index``."""
    columns = [np.bincount(index, weights=counts[:, each], minlength=size) for each in (0, 1)]
    return np.stack(columns, 1)
