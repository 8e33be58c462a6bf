"""A data set whose histories stay in Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recops.files import file_digest
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.examples.lookup import Lookup
from recops_models.examples.sequence_file import SequenceFile
from recops_models.examples.sequence_reader import SequenceReader


@dataclass(frozen=True)
class SequenceDataset(Dataset):
    """Catalogue in memory, and histories that stay in Parquet files.

    ``interactions`` and ``users`` are empty.

    Attributes:
        files: file of each part: ``"train"``, ``"validation"`` and ``"test"``.
    """

    files: Mapping[str, SequenceFile] = field(default_factory=dict)

    @property
    def streamed_digest(self) -> str:
        """See :attr:`Dataset.streamed_digest`."""
        return " ".join(file_digest(file.path) for file in self.files.values())

    def reader(self, part: str, events: tuple[str, ...] = ()) -> SequenceReader:
        """Return the reader of a part, which numbers items by the rows of the catalogue.

        Args:
            part: ``"train"``, ``"validation"`` or ``"test"``.
            events: event columns to read.

        Raises:
            DataError: the file lacks a column.
        """
        file = self.files[part]
        for name in events:
            if name not in file.event_columns:
                known = ", ".join(file.event_columns) or "none"
                raise DataError(
                    f"{file.path}: no column {name!r} of lists of numbers (columns: {known})"
                )
        keys = self.text_keys("item")
        lookup = Lookup(self.item_vocabulary if keys is None else keys.combine_chunks())
        return SequenceReader(file, lookup, part != "train", events)
