"""Parsing, checking and sorting of raw interactions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data import columns
from recops_models.data.checks import RawTable, RowCheck, repeats
from recops_models.data.column_roles import column_role
from recops_models.data.dataset import TimeKind
from recops_models.data.histories import AnyArray
from recops_models.data.ids import IdReader
from recops_models.data.times import TimeFormat, parse_times
from recops_models.data.vocabulary import Vocabulary

OPTIONAL = ("rating", "label", "feedback", "weight", "position", "propensity")
"""Optional numbers of an interaction, f32 and finite: feedback 0 (disliked), 1 (neutral) or 2
(liked), weight ≥ 0, propensity in (0, 1]."""

FIRST = ("user_id", "item_id", "timestamp")
"""First columns of the interactions."""

REPETITION = "exact repetition of an earlier row"
"""Reason for dropping a row that equals an earlier one."""

_EVENT = (*FIRST, *OPTIONAL)
_CONTEXT = ("domain", "scene")
"""Columns that say where an interaction happened; kept with any content."""


def setting_columns(table: pa.Table) -> tuple[str, ...]:
    """Return the columns that settings and schemas may name.

    These are domain, scene, numbers, repeated text, and lists of categories.
    """
    return tuple(
        name
        for name, column in zip(table.column_names, table.columns, strict=True)
        if name in _CONTEXT or (name not in _EVENT and _is_readable(column))
    )


def _is_readable(column: pa.ChunkedArray) -> bool:
    return column_role(column) in ("number", "attribute")


def read_events(
    raw: RawTable,
    check: RowCheck,
    user_ids: IdReader,
    item_ids: IdReader,
    catalogue: pa.Table | None,
    *,
    time: TimeKind,
    time_format: TimeFormat | None,
    row_order: bool,
    extra_columns: tuple[str, ...],
    drop_duplicates: bool,
) -> pa.Table:
    """Return the valid interactions, sorted by time; ties stay in the order of the file.

    The arguments are those of :func:`~recops_models.data.assemble.assemble`; ``check`` records the
    bad rows.
    """
    is_timed = time != "none" and not row_order
    known = None if catalogue is None else Vocabulary(catalogue["item_id"].to_numpy().copy())
    read = parse_events(raw, check, user_ids, item_ids, known, time_format, is_timed=is_timed)
    # In row order, equal rows are repeated events.
    if drop_duplicates and not row_order:
        marks = repeats(list(read.values()), check.rows)
        check.reject(marks, REPETITION, shown_columns(read))
    rows = check.rows
    if time == "none":
        rows = np.random.default_rng(0).permutation(rows)
    if "timestamp" not in read:
        read["timestamp"] = _positions(read["user_id"], rows)
    times = read["timestamp"][rows]
    if time == "seconds":
        check.unsorted = int((np.diff(times) < 0).sum())
    rows = rows[np.argsort(times, kind="stable")]
    table = pa.table({name: read[name][rows] for name in (*FIRST, *read)})
    for name in extra_columns:
        table = table.append_column(name, raw.table[name].take(pa.array(rows)))
    return table


def shown_columns(read: Mapping[str, object]) -> list[str]:
    """Return the columns that an example of a repeated row shows."""
    return [name for name in FIRST if name in read]


def parse_events(
    raw: RawTable,
    check: RowCheck,
    user_ids: IdReader,
    item_ids: IdReader,
    catalogue: Vocabulary | None,
    time_format: TimeFormat | None,
    *,
    is_timed: bool,
) -> dict[str, AnyArray]:
    """Return the ids, times and optional numbers of all rows, by column.

    ``check`` records the bad rows, whose values are arbitrary. Each row is judged by itself.

    Args:
        raw: the interactions, or some of their rows.
        check: check of these rows.
        user_ids: reader of the user ids.
        item_ids: reader of the item ids.
        catalogue: the items that may occur; None: any.
        time_format: format of the times; None: the default format.
        is_timed: whether ``timestamp`` is read.
    """
    read: dict[str, AnyArray] = {
        "user_id": user_ids.read(raw, check),
        "item_id": item_ids.read(raw, check),
    }
    if is_timed:
        read["timestamp"], faults = parse_times(
            raw.table["timestamp"], "timestamp", time_format, advice=time_format is not None
        )
        check.reject_faults(faults, "timestamp")
    for name in (name for name in OPTIONAL if name in raw.table.column_names):
        values, faults = columns.parse_numbers(raw.table[name], name)
        check.reject_faults(faults, name)
        large = np.abs(values) > np.finfo(np.float32).max
        check.reject(large, f"{name} is not finite in 32 bits", [name])
        read[name] = np.where(large, 0, values).astype(np.float32)
    if "feedback" in read:
        no_class = ~np.isin(read["feedback"], (0, 1, 2))
        check.reject(no_class, "feedback is not 0, 1 or 2", ["feedback"])
    if "weight" in read:
        check.reject(read["weight"] < 0, "weight is negative", ["weight"])
    if "propensity" in read:
        outside = (read["propensity"] <= 0) | (read["propensity"] > 1)
        check.reject(outside, "propensity is not in (0, 1]", ["propensity"])
    if catalogue is not None:
        unknown = catalogue.index(read["item_id"], missing="mark") < 0
        check.reject(unknown, "item_id is not among the items", ["item_id"])
    return read


def _positions(user: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of each row among its user's ``rows``, from 0; other rows get 0."""
    order = rows[np.argsort(user[rows], kind="stable")]
    sorted_users = user[order]
    positions = np.zeros(len(user), dtype=np.int64)
    positions[order] = np.arange(len(order)) - np.searchsorted(sorted_users, sorted_users)
    return positions
