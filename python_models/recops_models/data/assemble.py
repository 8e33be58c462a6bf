"""From raw tables to a :class:`Dataset`: ids, times, checks, order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.checks import RawTable, RowCheck, plain_text, repeats, with_columns
from recops_models.data.dataset import Dataset, TimeKind
from recops_models.data.errors import DataError
from recops_models.data.events import OPTIONAL, read_events
from recops_models.data.ids import IdKind, IdReader
from recops_models.data.report import ImportReport
from recops_models.data.vocabulary import distinct


def assemble(
    name: str,
    interactions: RawTable,
    items: RawTable | None = None,
    users: RawTable | None = None,
    *,
    source: str,
    ids: IdKind = "auto",
    time: TimeKind = "seconds",
    keep: tuple[str, ...] = (),
    distinct: bool = True,
    notes: tuple[str, ...] = (),
) -> Dataset:
    """Check raw rows and bring them into the one in-memory form.

    Bad rows are left out and counted: ids that are missing, negative, of 2^63 or more, or not
    integers; times that are missing, unreadable or not in seconds; optional numbers that are not
    finite or out of their range; exact repetitions; with an ``items`` file (the catalogue),
    interactions with items that are not in it; items and users listed twice. Users need not be
    listed: those that are not get nulls, and so do infinite numbers of items and users, which a
    note counts.

    Args:
        name: the data set's name.
        interactions: ``user_id``, ``item_id``, ``timestamp`` (not with time ``"none"``), and
            optionally those of :data:`~recops_models.data.events.OPTIONAL`.
        items: ``item_id`` and any columns; None takes the items that were met.
        users: ``user_id`` and any columns.
        source: where all this comes from, for the report.
        ids: ``"integer"`` (kept as they are), ``"string"`` (numbered in sorted order; the strings
            stay in ``user_key`` and ``item_key``), or ``"auto"``: integers where more than half of
            the ids are.
        time: what ``timestamp`` means; see :class:`Dataset`.
        keep: further columns of ``interactions`` to hand on, whatever is in them.
        distinct: leave out exact repetitions; a log of impressions may repeat itself.
        notes: handed on to the report.

    Raises:
        DataError: a column is missing, or no good row is left.
    """
    required = ("user_id", "item_id", *(() if time == "none" else ("timestamp",)))
    interactions = with_columns(interactions, (*required, *keep), OPTIONAL)
    items = items and with_columns(items, ("item_id",))
    users = users and with_columns(users, ("user_id",))

    checks: list[RowCheck] = []
    item_ids = IdReader("item", ids, [interactions] + ([items] if items else []))
    user_ids = IdReader("user", ids, [interactions] + ([users] if users else []))
    found: list[str] = []
    catalogue = None if items is None else _read_entities(items, item_ids, "item", checks, found)
    people = None if users is None else _read_entities(users, user_ids, "user", checks, found)
    check = RowCheck(interactions)
    checks.append(check)
    events = read_events(
        interactions, check, user_ids, item_ids, catalogue, time=time, keep=keep, distinct=distinct
    )
    if not events.num_rows:
        reasons = (
            "; ".join(str(bad) for check in checks for bad in check.bad_rows) or "the file is empty"
        )
        raise DataError(f"{source}: no good interaction is left ({reasons})")

    unused = [c for c in interactions.table.column_names if c not in (*required, *keep, *OPTIONAL)]
    if unused:
        notes = (*notes, f"{interactions.file}: not used: {', '.join(unused)}")
    notes = (*notes, *found, *_findings(interactions.file, events, check))
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


def _findings(file: str, events: pa.Table, check: RowCheck) -> Iterator[str]:
    """What is no fault of a row, but what the reader of the numbers should know."""
    if check.unsorted:
        yield f"{file}: {check.unsorted:,} rows are earlier than the row before them; sorted"
    _, counts = np.unique(events["user_id"].to_numpy(), return_counts=True)
    for length, many in ((1, "one event"), (2, "two events")):
        short = int((counts == length).sum())
        if short:
            yield f"{short:,} users have {many}: leave-one-out keeps them in train"


def _read_entities(
    raw: RawTable, ids: IdReader, entity: str, checks: list[RowCheck], found: list[str]
) -> pa.Table:
    """The good rows of an items or users file, by ascending id; ``found`` takes notes."""
    check = RowCheck(raw)
    checks.append(check)
    values = ids.read(raw, check)
    check.reject(repeats([values], check.rows), f"{ids.column} is listed twice", [ids.column])
    rows = check.rows[np.argsort(values[check.good], kind="stable")]
    if f"{entity}_key" in raw.table.column_names:
        raise DataError(f"{raw.file}: column {entity}_key is reserved for string ids; rename it")
    others = [name for name in raw.table.column_names if name != ids.column]
    table = pa.table({name: plain_text(raw.table[name]) for name in (ids.column, *others)})
    table = table.take(pa.array(rows)).set_column(0, ids.column, pa.array(values[rows]))
    for place, name in enumerate(others, start=1):
        if pa.types.is_floating(table[name].type):
            infinite = pc.is_inf(table[name])
            number = pc.sum(infinite).as_py()
            if number:
                found.append(f"{raw.file}: {number:,} values of {name} are infinite; left out")
                column = pc.if_else(infinite, None, table[name])
                table = table.set_column(place, name, column)
    return table


def _complete(
    listed: pa.Table | None, events: pa.Table, entity: str, keys: pa.Array | None
) -> pa.Table:
    """All items or users, those listed and those met, by ascending id, with their string ids."""
    column = f"{entity}_id"
    met = distinct(events[column].to_numpy())
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
