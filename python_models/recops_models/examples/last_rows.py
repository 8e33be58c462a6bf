"""Last example of every user and item in streamed click data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from recops_models.data.histories import Int64Array
from recops_models.examples.block import Block
from recops_models.examples.encode import encode
from recops_models.examples.features import FittedSchema
from recops_models.examples.key_counts import KeyCounts
from recops_models.examples.lookup import Lookup, as_keys
from recops_models.examples.parquet_rows import ParquetRows
from recops_models.examples.row_faults import RowFaults


@dataclass(frozen=True, eq=False)
class LastRows:
    """Numbers of the last valid rows with each id, over all files in order.

    Attributes:
        files: the files.
        fitted: fitted schema of the features.
        lookups: map from ids to rows of a table, by feature.
        rows: ``[V + 2]`` i64 by feature, number of the last row with each id; −1 for padding and
            unknown ids.
    """

    files: Sequence[ParquetRows]
    fitted: FittedSchema
    lookups: dict[str, Lookup]
    rows: dict[str, Int64Array]

    @classmethod
    def of(cls, paths: Sequence[Path], fitted: FittedSchema, features: Sequence[str]) -> LastRows:
        """Find the last rows in two passes; memory grows with the number of distinct ids.

        Args:
            paths: files of examples, in the order of time.
            fitted: fitted schema of their features.
            features: names of categorical features.

        Raises:
            DataError: a file is damaged.
        """
        files = [ParquetRows(path, fitted.schema) for path in paths]
        counts = {name: KeyCounts(capacity=1 << 62) for name in features}
        for piece in _pieces(files, fitted):
            for name, count in counts.items():
                count.add(piece[name])
        lookups = {name: count.lookup(min_count=1) for name, count in counts.items()}
        rows = {name: np.full(lookup.cardinality, -1) for name, lookup in lookups.items()}
        start = 0
        for piece in _pieces(files, fitted):
            numbers = np.arange(start, start + piece.num_rows)
            for name, lookup in lookups.items():
                rows[name][lookup.rows(as_keys(piece[name]))] = numbers  # The last one wins.
            start += piece.num_rows
        for name in features:
            rows[name][: Lookup(pa.array([], pa.string())).cardinality] = -1
        return cls(files, fitted, lookups, rows)

    def blocks(self, feature: str) -> Iterator[tuple[Int64Array, Block]]:
        """Yield the last rows of a feature's ids in blocks.

        Returns:
            ``[n]`` i64, rows of the ids in the table, and their examples.
        """
        order = np.argsort(self.rows[feature], kind="stable")
        numbers = self.rows[feature][order]
        start = 0
        for piece in _pieces(self.files, self.fitted):
            stop = start + piece.num_rows
            own = slice(*np.searchsorted(numbers, (start, stop)))
            if own.start < own.stop:
                chosen = piece.take(pa.array(numbers[own] - start))
                yield order[own], encode(chosen, self.fitted)
            start = stop


def _pieces(files: Sequence[ParquetRows], fitted: FittedSchema) -> Iterator[pa.RecordBatch]:
    """Yield the valid rows of all files."""
    for file in files:
        faults = RowFaults(file.path.name, fitted.schema)
        for piece in file.pieces():
            yield faults.valid_rows(piece)
