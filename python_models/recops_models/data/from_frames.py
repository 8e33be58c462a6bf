"""Reader of data frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from recops_models.data.categories import with_integer_categories
from recops_models.data.checks import RawTable, plain_table
from recops_models.data.column_names import renamed
from recops_models.data.column_schema import ColumnSchema
from recops_models.data.dataset import Dataset, Repeats
from recops_models.data.frames import Frame, library_of, to_arrow
from recops_models.data.own_tables import assemble_own
from recops_models.data.repeats import with_repeats
from recops_models.data.table_options import TableOptions


def dataset_from_frames(
    interactions: Frame,
    items: Frame | None = None,
    users: Frame | None = None,
    *,
    options: TableOptions,
    repeats: Repeats | None,
    schema: str | Path | None,
    name: str,
) -> Dataset:
    """Return a data set; see :meth:`Dataset.from_frames` for arguments and errors."""
    frames = {"interactions": interactions, "items": items, "users": users}
    tables = {
        key: RawTable(key, to_arrow(frame, key))
        for key, frame in frames.items()
        if frame is not None
    }
    dataset = assemble_own(name, tables, options, source="data frames", kind="frame", ids="typed")
    dataset = with_integer_categories(dataset)
    if schema is not None:
        dataset = ColumnSchema.read(Path(schema)).applied(dataset)
    dataset = with_repeats(dataset, repeats)
    return dataclasses.replace(dataset, library=library_of(interactions), reads_lists=True)


def canonical(frame: Frame, argument: str, columns: Mapping[str, str]) -> pa.Table:
    """Return a frame as an Arrow table with canonical column names and plain text.

    Args:
        frame: a table of any library.
        argument: name of the argument, for errors.
        columns: names in the frame by canonical name.

    Raises:
        DataError: ``frame`` is no table, or has both names of a column.
    """
    return renamed(plain_table(to_arrow(frame, argument)), argument, columns)
