"""Quantile bins of a column of numbers, as rows of an embedding table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.errors import DataError
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.lookup import UNKNOWN, Lookup

_SAMPLE = 1 << 17
"""Largest number of values from which quantiles are computed."""


@dataclass(frozen=True, eq=False)
class Bins(Lookup):
    """Bins of one embedding table; row 1 is for missing values, the bins follow.

    Bin i holds the numbers x with ``edges[i - 1] <= x < edges[i]``.

    Attributes:
        edges: ascending f64, one fewer than bins.

    Example:
        >>> import numpy as np
        >>> Bins.of(np.array([0.0, 10.0])).rows(np.array([-3.0, 0.0, 12.0, np.nan])).tolist()
        [2, 3, 4, 1]
    """

    edges: NDArray[np.float64]

    @classmethod
    def of(cls, edges: NDArray[np.float64]) -> Bins:
        """Return the bins between ``edges``."""
        return cls(Vocabulary(np.arange(len(edges) + 1)), edges)

    def rows(self, values: pa.Array | pa.ChunkedArray | NDArray[np.number]) -> NDArray[np.int64]:
        """Return the row ``[n]`` i64 of each number. O(n log bins).

        Args:
            values: ``[n]`` numbers; null and NaN are missing.

        Raises:
            DataError: the values are no numbers.
        """
        numbers = values if isinstance(values, np.ndarray) else as_numbers(values)
        rows = self._rows_of_indices(np.searchsorted(self.edges, numbers, side="right"))
        return np.where(np.isnan(numbers), UNKNOWN, rows)

    def state(self) -> dict[str, Tensor]:
        """Return ``edges`` f64."""
        return {"edges": torch.from_numpy(self.edges.copy())}


class Quantiles:
    """Sample of a column's numbers, from which bins of equal counts are computed.

    The bins are exact up to 131,072 numbers. Beyond, they are those of a random sample of this
    size, which does not depend on the chunks.
    """

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._values: NDArray[np.float64] = np.empty(0)
        self._order: NDArray[np.float64] = np.empty(0)

    def add(self, values: pa.Array) -> None:
        """Add a chunk of numbers; nulls, NaN and infinite values are skipped.

        Raises:
            DataError: the values are no numbers.
        """
        numbers = as_numbers(values)
        numbers = numbers[np.isfinite(numbers)]
        self._values = np.concatenate([self._values, numbers])
        self._order = np.concatenate([self._order, self._rng.random(len(numbers))])
        if len(self._values) > _SAMPLE:
            # The numbers of the smallest random keys are a sample without replacement.
            smallest = np.sort(np.argpartition(self._order, _SAMPLE)[:_SAMPLE])
            self._values, self._order = self._values[smallest], self._order[smallest]

    def lookup(self, bins: int) -> Bins:
        """Return at most ``bins`` bins; a value that fills several of them has one."""
        if not len(self._values):
            return Bins.of(np.empty(0))
        shares = np.arange(1, bins) / bins
        edges = np.unique(np.quantile(self._values, shares, method="higher"))
        return Bins.of(edges[edges > self._values.min()])


def as_numbers(values: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a column as f64; null becomes NaN.

    Raises:
        DataError: the column holds no numbers.
    """
    kind = values.type
    if pa.types.is_boolean(kind):
        values, kind = values.cast(pa.int8()), pa.int8()
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not (is_number or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
        raise DataError(f"must hold numbers, got {kind}")
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    numbers: NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy(
        zero_copy_only=False
    )
    return numbers
