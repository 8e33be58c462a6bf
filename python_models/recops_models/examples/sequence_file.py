"""A Parquet file of sequences: a user and lists of items and numbers per row, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from recops_models.data.errors import DataError
from recops_models.data.parquet_file import open_parquet, read_pieces
from recops_models.examples.parquet_rows import is_key, is_list_of, is_number, require_type

_ROWS = 1 << 12


class SequenceFile:
    """The users and items in the Parquet file ``path``, read in pieces of 4,096 rows.

    Args:
        path: the file.
        columns: names in the file by canonical name, ``user_id`` and ``item_id``.

    Attributes:
        user: name of the column of user ids.
        items: name of the column of lists of item ids.
        event_columns: names of the other columns of lists of numbers.
        num_rows: number of rows, bad ones included.
        num_row_groups: number of row groups.
        has_text_items: whether item ids are strings.
        has_text_users: whether user ids are strings.

    Raises:
        DataError: the file is missing or not Parquet; a column is missing or has a wrong type.
    """

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self.path = path
        self.user, self.items = (columns.get(name, name) for name in ("user_id", "item_id"))
        with open_parquet(path) as file:
            self.num_row_groups = file.metadata.num_row_groups
            self.num_rows = file.metadata.num_rows
            schema = file.schema_arrow
        require_type(path, schema, self.user, is_key, "integers or strings")
        require_type(path, schema, self.items, is_list_of(is_key), "lists of integers or strings")
        self.event_columns = tuple(
            field.name
            for field in schema
            if field.name != self.items and is_list_of(is_number)(field.type)
        )
        self.has_text_users = _is_text(schema.field(self.user).type)
        self.has_text_items = _is_text(schema.field(self.items).type.value_type)

    def pieces(
        self, row_groups: Iterable[int] | None = None, events: Sequence[str] = ()
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the given row groups in order.

        Args:
            row_groups: numbers of row groups; None: all.
            events: event columns to read.

        Raises:
            DataError: the file is damaged.
        """
        groups = list(range(self.num_row_groups) if row_groups is None else row_groups)
        return read_pieces(self.path, _ROWS, groups, [self.user, self.items, *events])

    def check_kind(self, other: SequenceFile) -> None:
        """Check that ``other`` has ids of the same kind.

        Raises:
            DataError: one file has strings and the other integers.
        """
        kinds = [
            (self.user, self.has_text_users, other.has_text_users),
            (self.items, self.has_text_items, other.has_text_items),
        ]
        for column, is_text, is_other_text in kinds:
            if is_text != is_other_text:
                expected, actual = ("strings", "integers") if is_text else ("integers", "strings")
                raise DataError(
                    f"{other.path}: column {column!r} must hold {expected}, as in "
                    f"{self.path.name}, got {actual}"
                )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
