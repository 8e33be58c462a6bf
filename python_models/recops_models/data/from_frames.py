"""Reader of data frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pyarrow as pa

from recops_models.data.assemble import assemble
from recops_models.data.categories import with_integer_categories
from recops_models.data.checks import RawTable, plain_text
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.events import setting_columns
from recops_models.data.frames import Frame, library_of, to_arrow


def dataset_from_frames(
    interactions: Frame,
    items: Frame | None = None,
    users: Frame | None = None,
    *,
    columns: Mapping[str, str],
    name: str,
) -> Dataset:
    """Return a data set; see :meth:`Dataset.from_frames` for arguments and errors."""
    frames = {"interactions": interactions, "items": items, "users": users}
    tables = {key: to_arrow(frame, key) for key, frame in frames.items() if frame is not None}
    known = {column for table in tables.values() for column in table.column_names}
    for column in columns.values():
        if column not in known:
            raise DataError(f"columns: no frame has the column {column!r}")
    raw = {key: RawTable(key, canonical(table, key, columns)) for key, table in tables.items()}
    dataset = assemble(
        name,
        raw["interactions"],
        raw.get("items"),
        raw.get("users"),
        source="data frames",
        extra_columns=setting_columns(raw["interactions"].table),
    )
    return dataclasses.replace(
        with_integer_categories(dataset), library=library_of(interactions), columns=dict(columns)
    )


def canonical(frame: Frame, argument: str, columns: Mapping[str, str]) -> pa.Table:
    """Return a frame as an Arrow table with canonical column names and plain text.

    Args:
        frame: a table of any library.
        argument: name of the argument, for errors.
        columns: names in the frame by canonical name.

    Raises:
        DataError: ``frame`` is no table, or has both names of a column.
    """
    table = to_arrow(frame, argument)
    renamed = {name: target for target, name in columns.items() if name in table.column_names}
    for name, target in renamed.items():
        if name != target and target in table.column_names and target not in renamed:
            raise DataError(f"{argument}: has both columns {name!r} and {target!r}; remove one")
    names = [renamed.get(column, column) for column in table.column_names]
    return pa.table([plain_text(column) for column in table.columns], names=names)
