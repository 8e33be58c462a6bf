"""Mapping from column values to rows of an embedding table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.errors import DataError
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.hash_index import HashIndex

PADDING = 0
UNKNOWN = 1
_FIRST = 2


@dataclass(frozen=True, eq=False)
class Lookup:
    """Vocabulary of one embedding table.

    Row 0 is padding, row 1 is for unknown values and null, known values follow in ascending order.

    Attributes:
        keys: int64 ids, or distinct strings in ascending order.
    """

    keys: Vocabulary | pa.StringArray

    @property
    def cardinality(self) -> int:
        """Number of rows of the table."""
        return len(self.keys) + _FIRST

    def rows(self, values: pa.Array | pa.ChunkedArray | NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row ``[n]`` i64 of each value. O(n) for integers, O(n + V) for strings.

        Args:
            values: ``[n]`` integers or strings.

        Raises:
            DataError: the values are strings but the keys are integers, or the reverse; or as in
                :func:`as_keys`.
        """
        if not isinstance(values, np.ndarray):
            values = as_keys(values)
        if isinstance(self.keys, Vocabulary):
            if isinstance(values, np.ndarray):
                return self._rows_of_integers(values)
            if not pa.types.is_int64(values.type):
                raise DataError(f"must be integers, as in the training part, got {values.type}")
            rows = self._rows_of_integers(pc.fill_null(values, 0).to_numpy(zero_copy_only=False))
            if values.null_count:
                rows[values.is_null().to_numpy(zero_copy_only=False)] = UNKNOWN
            return rows
        if isinstance(values, np.ndarray) or not pa.types.is_string(values.type):
            kind = values.dtype if isinstance(values, np.ndarray) else values.type
            raise DataError(f"must be strings, as in the training part, got {kind}")
        index = pc.fill_null(pc.index_in(values, value_set=self.keys, skip_nulls=True), -1)
        return self._rows_of_indices(index.to_numpy(zero_copy_only=False).astype(np.int64))

    def _rows_of_integers(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._rows_of_indices(self._index.find(values))

    @cached_property
    def _index(self) -> HashIndex:
        assert isinstance(self.keys, Vocabulary)
        return HashIndex(self.keys.ids)

    @staticmethod
    def _rows_of_indices(indices: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.maximum(indices + _FIRST, UNKNOWN)

    def state(self) -> dict[str, Tensor]:
        """Return ``ids`` i64, or ``text`` u8 (concatenated UTF-8) and ``ends`` i64."""
        if isinstance(self.keys, Vocabulary):
            return {"ids": torch.from_numpy(self.keys.ids.copy())}
        lengths = pc.binary_length(self.keys).to_numpy(zero_copy_only=False).astype(np.int64)
        text = "".join(self.keys.to_pylist()).encode()
        return {
            "text": torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy()),
            "ends": torch.from_numpy(np.cumsum(lengths)),
        }

    @classmethod
    def from_state(cls, tensors: Mapping[str, Tensor]) -> Lookup:
        """Return the lookup that :meth:`state` exported.

        Raises:
            KeyError: a tensor is missing.
        """
        if "ids" in tensors:
            return cls(Vocabulary(tensors["ids"].numpy()))
        text, ends = tensors["text"].numpy().tobytes(), tensors["ends"].tolist()
        starts = [0, *ends[:-1]] if ends else []
        words = [text[start:end].decode() for start, end in zip(starts, ends, strict=True)]
        return cls(pa.array(words, pa.string()))


def as_keys(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column's values as int64 or strings, with nulls.

    Raises:
        DataError: the column has another type, or an integer is at least 2^63.
    """
    if isinstance(values, pa.ChunkedArray):
        return pa.concat_arrays([as_keys(chunk) for chunk in values.chunks])
    kind = values.type
    if pa.types.is_dictionary(kind):
        return as_keys(values.dictionary_decode())
    if pa.types.is_null(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        try:
            return values.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise DataError("an id is 2^63 or more") from error
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return values.cast(pa.string())
    raise DataError(f"must hold integers or strings, got {kind}")
