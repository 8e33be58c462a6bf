"""From raw tables to a :class:`Dataset`: ids, times, checks, order."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data import columns
from recops_models.data.checks import RawTable, RowCheck, repeats
from recops_models.data.dataset import Dataset, TimeKind
from recops_models.data.errors import DataError
from recops_models.data.report import ImportReport

IdKind = Literal["auto", "integer", "string"]

_OPTIONAL = ("rating", "label", "weight")


class _Ids:
    """How one entity's ids are read: as integers, or as strings numbered over all files."""

    def __init__(self, entity: str, kind: IdKind, files: list[RawTable]) -> None:
        self.column = f"{entity}_id"
        texts = [columns.id_text(raw.table[self.column]) for raw in files]
        integer = kind == "integer" or (kind == "auto" and columns.mostly_integers(texts[0]))
        self.keys: pa.Array | None = None
        if not integer:
            every = pa.chunked_array(
                [chunk for text in texts for chunk in text.chunks], pa.string()
            )
            distinct = pc.unique(every.filter(pc.not_equal(every, "")))
            self.keys = distinct.take(pc.array_sort_indices(distinct))

    def read(self, raw: RawTable, check: RowCheck) -> NDArray[np.int64]:
        text = columns.id_text(raw.table[self.column])
        if self.keys is None:
            ids, faults = columns.parse_integer_ids(text, self.column)
        else:
            ids, faults = columns.parse_keys(text, self.keys, self.column)
        check.reject_faults(faults, self.column)
        result: NDArray[np.int64] = ids
        return result


def assemble(
    name: str,
    interactions: RawTable,
    items: RawTable | None = None,
    users: RawTable | None = None,
    *,
    source: str,
    ids: IdKind = "auto",
    time: TimeKind = "seconds",
    notes: tuple[str, ...] = (),
) -> Dataset:
    """Check raw rows and bring them into the one in-memory form.

    Bad rows are left out and counted: ids that are missing, negative, of 2^63 or more, or not
    integers; times that are missing, unreadable or not in seconds; ratings, labels or weights that
    are not finite; negative weights; exact repetitions; with an ``items`` file (the catalogue),
    interactions with items that are not in it; items and users listed twice. Users need not be
    listed: those that are not get nulls.

    Args:
        name: the data set's name.
        interactions: ``user_id``, ``item_id``, ``timestamp``, and optionally ``rating``, ``label``,
            ``weight``.
        items: ``item_id`` and any columns; None takes the items that were met.
        users: ``user_id`` and any columns.
        source: where all this comes from, for the report.
        ids: ``"integer"`` (kept as they are), ``"string"`` (numbered in sorted order; the strings
            stay in ``user_key`` and ``item_key``), or ``"auto"``: integers where more than half of
            the ids are.
        time: what ``timestamp`` means; see :class:`Dataset`.
        notes: handed on to the report.

    Raises:
        DataError: a column is missing, or no good row is left.
    """
    _require(interactions, ("user_id", "item_id", "timestamp"))
    for raw, column in ((items, "item_id"), (users, "user_id")):
        if raw is not None:
            _require(raw, (column,))

    checks: list[RowCheck] = []
    item_ids = _Ids("item", ids, [interactions] + ([items] if items else []))
    user_ids = _Ids("user", ids, [interactions] + ([users] if users else []))
    catalogue = None if items is None else _read_entities(items, item_ids, "item", checks)
    people = None if users is None else _read_entities(users, user_ids, "user", checks)
    events = _read_interactions(interactions, user_ids, item_ids, catalogue, checks)
    if not events.num_rows:
        reasons = (
            "; ".join(str(bad) for check in checks for bad in check.bad_rows) or "the file is empty"
        )
        raise DataError(f"{source}: no good interaction is left ({reasons})")

    unused = [
        c
        for c in interactions.table.column_names
        if c not in ("user_id", "item_id", "timestamp", *_OPTIONAL)
    ]
    if unused:
        notes = (*notes, f"{interactions.file}: not used: {', '.join(unused)}")
    files = [raw for raw in (items, users, interactions) if raw is not None]
    report = ImportReport(
        source=source,
        rows_read={raw.file: check.rows_read for raw, check in zip(files, checks, strict=True)},
        bad_rows=tuple(bad for check in checks for bad in check.bad_rows),
        notes=notes,
    )
    return Dataset(
        name=name,
        interactions=events,
        items=_complete(catalogue, events, "item", item_ids.keys),
        users=_complete(people, events, "user", user_ids.keys),
        report=report,
        time=time,
    )


def _require(raw: RawTable, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in raw.table.column_names:
            found = ", ".join(raw.table.column_names) or "none"
            raise DataError(f"{raw.file}: no column {name!r} (columns: {found})")


def _read_entities(raw: RawTable, ids: _Ids, entity: str, checks: list[RowCheck]) -> pa.Table:
    """The good rows of an items or users file, by ascending id."""
    check = RowCheck(raw)
    checks.append(check)
    values = ids.read(raw, check)
    check.reject(repeats([values], check.rows), f"{ids.column} is listed twice", [ids.column])
    rows = check.rows[np.argsort(values[check.good], kind="stable")]
    rest = raw.table.drop_columns([ids.column])
    if f"{entity}_key" in rest.column_names:
        raise DataError(f"{raw.file}: column {entity}_key is reserved for string ids; rename it")
    return rest.take(pa.array(rows)).add_column(0, ids.column, pa.array(values[rows]))


def _read_interactions(
    raw: RawTable,
    user_ids: _Ids,
    item_ids: _Ids,
    catalogue: pa.Table | None,
    checks: list[RowCheck],
) -> pa.Table:
    """The good interactions, by time; ties stay in the order of the file."""
    check = RowCheck(raw)
    checks.append(check)
    read = {"user_id": user_ids.read(raw, check), "item_id": item_ids.read(raw, check)}
    read["timestamp"], faults = columns.parse_times(raw.table["timestamp"], "timestamp")
    check.reject_faults(faults, "timestamp")
    for name in (name for name in _OPTIONAL if name in raw.table.column_names):
        values, faults = columns.parse_numbers(raw.table[name], name)
        check.reject_faults(faults, name)
        read[name] = values.astype(np.float32)
    if "weight" in read:
        check.reject(read["weight"] < 0, "weight is negative", ["weight"])
    if catalogue is not None:
        unknown = ~np.isin(read["item_id"], catalogue["item_id"].to_numpy())
        check.reject(unknown, "item_id is not among the items", ["item_id"])
    shown = ["user_id", "item_id", "timestamp"]
    check.reject(
        repeats(list(read.values()), check.rows), "exact repetition of an earlier row", shown
    )
    rows = check.rows[np.argsort(read["timestamp"][check.good], kind="stable")]
    return pa.table({name: values[rows] for name, values in read.items()})


def _complete(
    listed: pa.Table | None, events: pa.Table, entity: str, keys: pa.Array | None
) -> pa.Table:
    """All items or users, those listed and those met, by ascending id, with their string ids."""
    column = f"{entity}_id"
    met = np.unique(events[column].to_numpy())
    if listed is None:
        table = pa.table({column: met})
    else:
        fresh = pa.table({column: np.setdiff1d(met, listed[column].to_numpy())})
        table = (
            pa.concat_tables([listed, fresh], promote_options="default")
            if fresh.num_rows
            else listed
        )
        table = table.take(pa.array(np.argsort(table[column].to_numpy(), kind="stable")))
    if keys is not None:
        table = table.add_column(1, f"{entity}_key", keys.take(table[column].combine_chunks()))
    return table.combine_chunks()
