"""Mapping between ids and dense indices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray


def distinct(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the distinct values of ``ids [n]``, ascending.

    np.unique hashes integers since NumPy 2.3, which is many times slower for millions of ids.
    """
    ordered = np.sort(ids)
    is_first = np.ones(len(ordered), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_first]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Sorted unique int64 ids; the index of an id is its position.

    A look-up of n ids is a vectorised binary search, O(n log V), or O(n) if the ids are 0 … V − 1.

    Args:
        ids: ``[V]`` i64, strictly ascending. :meth:`of` sorts and removes duplicates.
    """

    ids: NDArray[np.int64]

    def __post_init__(self) -> None:
        if (
            self.ids.ndim != 1
            or self.ids.dtype != np.int64
            or (self.ids[1:] <= self.ids[:-1]).any()
        ):
            raise ValueError("Vocabulary: ids must be [N] int64, strictly ascending")

    @classmethod
    def of(cls, ids: ArrayLike) -> Vocabulary:
        """Return the vocabulary of the distinct ``ids``."""
        return cls(distinct(np.asarray(ids, dtype=np.int64).ravel()))

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids.tolist())

    def index(
        self, ids: ArrayLike, *, missing: Literal["raise", "mark"] = "raise"
    ) -> NDArray[np.int64]:
        """Return the indices of ``ids``, in their shape; −1 marks unknown ids with ``"mark"``.

        Raises:
            KeyError: an id is unknown and ``missing`` is ``"raise"``.
        """
        queries = np.asarray(ids, dtype=np.int64)
        if self._is_range:
            position, known = queries, (queries >= 0) & (queries < len(self.ids))
        else:
            position = np.searchsorted(self.ids, queries)
            known = np.zeros(queries.shape, dtype=bool)
            inside = position < len(self.ids)
            known[inside] = self.ids[position[inside]] == queries[inside]
        if missing == "raise" and not known.all():
            raise KeyError(
                f"Vocabulary: unknown id {queries[~known].flat[0]} ({(~known).sum():,} unknown)"
            )
        return np.where(known, position, -1).astype(np.int64)

    @property
    def _is_range(self) -> bool:
        """True if the ids are 0 … V − 1."""
        return len(self.ids) > 0 and self.ids[0] == 0 and self.ids[-1] == len(self.ids) - 1
