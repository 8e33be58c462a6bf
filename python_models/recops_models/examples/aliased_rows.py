"""Rows of a Parquet file in which some features read the column of another feature."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from recops_models.data.errors import DataError
from recops_models.examples.features import FeatureSchema
from recops_models.examples.parquet_rows import ParquetRows


class AliasedRows(ParquetRows):
    """The columns of ``schema`` in a Parquet file, some of them under another name.

    Args:
        path: the file.
        schema: the features.
        aliases: feature → column that it reads, which is also a feature of ``schema``.

    Raises:
        DataError: as for :class:`ParquetRows`; or the schema lacks the other feature.
    """

    def __init__(self, path: Path, schema: FeatureSchema, aliases: Mapping[str, str]) -> None:
        own = tuple(feature for feature in schema.features if feature.name not in aliases)
        names = {feature.name for feature in own}
        for feature, column in aliases.items():
            if column not in names:
                raise DataError(
                    f"{path}: feature {feature!r} reads the feature {column!r}, which is missing"
                )
        super().__init__(path, dataclasses.replace(schema, features=own))
        self._aliases = aliases

    def pieces(self, row_groups: Iterable[int] | None = None) -> Iterator[pa.RecordBatch]:
        """See :meth:`ParquetRows.pieces`."""
        for piece in super().pieces(row_groups):
            names = [*piece.schema.names, *self._aliases]
            columns = [*piece.columns, *(piece[column] for column in self._aliases.values())]
            yield pa.RecordBatch.from_arrays(columns, names=names)
