"""Conversion of a user's own tables, from files or frames, to a :class:`Dataset`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable, plain_table
from recops_models.data.column_names import (
    TableSource,
    check_mapped,
    check_present,
    has_times,
    renamed,
)
from recops_models.data.dataset import Dataset
from recops_models.data.events import setting_columns
from recops_models.data.ids import IdKind
from recops_models.data.table_options import TableOptions

REQUIRED = {
    "interactions": ("user_id", "item_id"),
    "items": ("item_id",),
    "users": ("user_id",),
}
"""Columns that each table must have."""
ROW_ORDER_NOTE = "no times: events are in the order of the rows"
"""Note on interactions without times."""


def assemble_own(
    name: str,
    tables: Mapping[str, RawTable],
    options: TableOptions,
    *,
    source: str,
    kind: TableSource,
    ids: IdKind = "auto",
) -> Dataset:
    """Return the data set of ``tables``, which have the user's names and times.

    Args:
        name: the data set's name.
        tables: ``interactions``, and optionally ``items`` and ``users``.
        options: names and times of the tables.
        source: origin of the tables, for the report.
        kind: kind of the tables, for errors.
        ids: see :func:`~recops_models.data.assemble.assemble`.

    Raises:
        DataError: a column is missing, two have one name, or no valid interaction is left.
    """
    check_mapped(options.columns, [raw.table.column_names for raw in tables.values()], kind)
    tables = {
        table: dataclasses.replace(
            raw, table=plain_table(renamed(raw.table, raw.file, options.columns))
        )
        for table, raw in tables.items()
    }
    for table, raw in tables.items():
        check_present(raw.table, raw.file, REQUIRED[table], kind)
    interactions = tables["interactions"]
    row_order = options.row_order or not has_times(interactions.table, interactions.file, kind)
    dataset = assemble(
        name,
        interactions,
        tables.get("items"),
        tables.get("users"),
        source=source,
        ids=ids,
        time="order" if row_order else "seconds",
        time_format=options.times,
        row_order=row_order,
        extra_columns=setting_columns(interactions.table),
        notes=(f"{interactions.file}: {ROW_ORDER_NOTE}",) if row_order else (),
    )
    return dataclasses.replace(dataset, columns=dict(options.columns))
