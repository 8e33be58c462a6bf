"""Data set whose interactions stay in their file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa
from typing_extensions import Self

from recops_models.data.dataset import BLOCK, Dataset
from recops_models.data.parquet_file import open_parquet
from recops_models.data.table_blocks import of_length


class StoredDataset(Dataset):
    """Data set whose interactions are read from a Parquet file when they are used.

    :meth:`event_blocks` reads one row group at a time. The attribute ``interactions`` reads the
    whole file and stays in memory. The file stays open, so that a later import into the folder does
    not change the data set.
    """

    @classmethod
    def of_file(cls, path: Path, described: Dataset) -> Self:
        """Return the data set with the interactions of ``path``.

        Args:
            path: file of checked interactions, as :func:`~recops_models.data.storage.save_dataset`
                writes it.
            described: data set with the other attributes; its table of interactions has the columns
                of the file.
        """
        schema = described.interactions.schema
        dataset = cls.__new__(cls)
        vars(dataset).update(vars(described), _file=open_parquet(path), _schema=schema)
        del vars(dataset)["interactions"]
        if any(pa.types.is_dictionary(field.type) for field in schema):
            # Row groups have different dictionaries, so that blocks would differ from the table's.
            _ = dataset.interactions
        return dataset

    def __reduce__(self) -> tuple[type[Dataset], tuple[object, ...]]:
        """Copy and pickle the data set with its table, because an open file cannot be copied."""
        return Dataset, tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @cached_property
    def interactions(self) -> pa.Table:
        """All interactions; see :class:`Dataset`."""
        # The threads of pa.parquet.read_table may outlive the interpreter and abort it at exit.
        return vars(self)["_file"].read(use_threads=False).replace_schema_metadata(None)

    @property
    def event_schema(self) -> pa.Schema:
        """See :attr:`Dataset.event_schema`."""
        return super().event_schema if self._is_loaded else vars(self)["_schema"]

    @property
    def num_events(self) -> int:
        """See :attr:`Dataset.num_events`."""
        return super().num_events if self._is_loaded else vars(self)["_file"].metadata.num_rows

    def event_blocks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """See :meth:`Dataset.event_blocks`."""
        if self._is_loaded:
            return super().event_blocks(columns)
        return of_length(self._row_groups(columns), BLOCK)

    @property
    def _is_loaded(self) -> bool:
        return "interactions" in vars(self)

    def _row_groups(self, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        file = vars(self)["_file"]
        names = None if columns is None else list(columns)
        for index in range(file.num_row_groups):
            group = file.read_row_group(index, names, use_threads=False)
            yield group.replace_schema_metadata(None)
