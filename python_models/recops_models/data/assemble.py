"""Conversion of raw tables to a :class:`Dataset`: ids, times, row checks and order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.checks import RawTable, RowCheck, plain_text, repeats, with_columns
from recops_models.data.column_roles import is_list
from recops_models.data.dataset import Dataset, TimeKind
from recops_models.data.errors import DataError
from recops_models.data.events import OPTIONAL, read_events
from recops_models.data.ids import IdKind, IdReader
from recops_models.data.report import ImportReport
from recops_models.data.times import TimeFormat
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
    time_format: TimeFormat | None = None,
    row_order: bool = False,
    extra_columns: tuple[str, ...] = (),
    drop_duplicates: bool = True,
    notes: tuple[str, ...] = (),
) -> Dataset:
    """Check raw rows and convert the valid ones to a :class:`Dataset`.

    Bad rows are dropped and counted in the report:

    - ids that are missing, negative, at least 2^63, or not integers;
    - times that are missing, unreadable or not in seconds;
    - optional numbers that are not finite or out of range;
    - exact duplicates;
    - interactions with an item that the ``items`` file (the catalogue) lacks;
    - items and users that are listed twice.

    Users with events but no row in ``users`` get a row of nulls. Infinite numbers of items and
    users become null, and a note counts them.

    Args:
        name: the data set's name.
        interactions: ``user_id``, ``item_id``, ``timestamp`` (except with time ``"none"`` and
            with ``row_order``), and optionally the columns of
            :data:`~recops_models.data.events.OPTIONAL`.
        items: ``item_id`` and any columns; None takes the items of the interactions.
        users: ``user_id`` and any columns.
        source: origin of the files, for the report.
        ids: ``"integer"`` (used unchanged), ``"string"`` (numbered in sorted order, with the
            strings in ``user_key`` and ``item_key``), or ``"auto"``: integers if more than half of
            the ids are integers. ``"typed"`` is ``"auto"``, but text stays text.
        time: meaning of ``timestamp``; see :class:`Dataset`.
        time_format: format of ``timestamp``, if the user can choose it; None: the default format.
        row_order: with time ``"order"``, ``timestamp`` is the position among the user's rows.
        extra_columns: further columns of ``interactions`` to copy unchecked.
        drop_duplicates: drop exact duplicates; a log of impressions may contain them.
        notes: added to the report.

    Raises:
        DataError: a column is missing, or no valid row is left.
    """
    is_timed = time != "none" and not row_order
    required = ("user_id", "item_id", *(("timestamp",) if is_timed else ()))
    plain = [name for name in extra_columns if not is_list(interactions.table[name].type)]
    interactions = with_columns(interactions, (*required, *plain), OPTIONAL)
    items = items and with_columns(items, ("item_id",))
    users = users and with_columns(users, ("user_id",))

    checks: list[RowCheck] = []
    item_ids = IdReader.of("item", ids, [interactions] + ([items] if items else []))
    user_ids = IdReader.of("user", ids, [interactions] + ([users] if users else []))
    infinite: list[str] = []
    catalogue = None if items is None else read_entities(items, item_ids, "item", checks, infinite)
    people = None if users is None else read_entities(users, user_ids, "user", checks, infinite)
    check = RowCheck(interactions)
    checks.append(check)
    events = read_events(
        interactions,
        check,
        user_ids,
        item_ids,
        catalogue,
        time=time,
        time_format=time_format,
        row_order=row_order,
        extra_columns=extra_columns,
        drop_duplicates=drop_duplicates,
    )
    if not events.num_rows:
        reasons = (
            "; ".join(str(bad) for check in checks for bad in check.bad_rows) or "the file is empty"
        )
        raise DataError(f"{source}: no valid interaction is left ({reasons})")

    used = (*required, *extra_columns, *OPTIONAL)
    unused = unused_note(interactions.file, interactions.table.column_names, used)
    _, counts = np.unique(events["user_id"].to_numpy(), return_counts=True)
    event_notes = notes_on_events(interactions.file, counts, check.unsorted)
    notes = (*notes, *unused, *infinite, *event_notes)
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
        items=entity_table(catalogue, _with_events(events, item_ids), item_ids),
        users=entity_table(people, _with_events(events, user_ids), user_ids),
        report=report,
        time=time,
        time_format=time_format or TimeFormat(),
    )


def unused_note(file: str, names: Sequence[str], used: Sequence[str]) -> list[str]:
    """Return a note on the columns ``names`` that are not ``used``, if there are any."""
    unused = [name for name in names if name not in used]
    hint = "events keep numbers, with a decimal point, and text that repeats"
    return [f"{file}: not used: {', '.join(unused)}; {hint}"] if unused else []


def notes_on_events(file: str, counts: NDArray[np.int64], unsorted: int) -> Iterator[str]:
    """Yield notes on properties of the events that affect how metrics are read.

    Args:
        file: name of the interactions.
        counts: number of events of each user.
        unsorted: number of rows that are earlier than the row before them.
    """
    if unsorted:
        yield f"{file}: {unsorted:,} rows are earlier than the row before them; sorted"
    for length, description in ((1, "one event"), (2, "two events")):
        short = int((counts == length).sum())
        if short:
            yield f"{short:,} users have {description}: leave-one-out keeps them in train"


def read_entities(
    raw: RawTable, ids: IdReader, entity: str, checks: list[RowCheck], notes: list[str]
) -> pa.Table:
    """Return the valid rows of an items or users file, by ascending id.

    Appends the file's row check to ``checks`` and notes on infinite values to ``notes``.
    """
    check = RowCheck(raw)
    checks.append(check)
    values = ids.read(raw, check)
    check.reject(repeats([values], check.rows), f"{ids.column} is listed twice", [ids.column])
    rows = check.rows[np.argsort(values[check.good], kind="stable")]
    if f"{entity}_key" in raw.table.column_names:
        raise DataError(f"{raw.file}: column {entity}_key is reserved for text ids; rename it")
    others = [name for name in raw.table.column_names if name != ids.column]
    table = pa.table({name: plain_text(raw.table[name]) for name in (ids.column, *others)})
    table = table.take(pa.array(rows)).set_column(0, ids.column, pa.array(values[rows]))
    for index, name in enumerate(others, start=1):
        if pa.types.is_floating(table[name].type):
            infinite = pc.is_inf(table[name])
            count = pc.sum(infinite).as_py()
            if count:
                notes.append(f"{raw.file}: {count:,} values of {name} are infinite; set to null")
                column = pc.if_else(infinite, None, table[name])
                table = table.set_column(index, name, column)
    return table


def _with_events(events: pa.Table, ids: IdReader) -> NDArray[np.int64]:
    return distinct(events[ids.column].to_numpy())


def entity_table(
    listed: pa.Table | None, with_events: NDArray[np.int64], ids: IdReader
) -> pa.Table:
    """Return all items or users, listed or with events, by ascending id.

    String ids go to the second column, ``{entity}_key``.

    Args:
        listed: the rows of the items or users file; None: there is no file.
        with_events: ascending ids of the items or users with events.
        ids: reader of the ids.
    """
    column = ids.column
    if listed is None:
        table = pa.table({column: with_events})
    else:
        unlisted = pa.table({column: np.setdiff1d(with_events, listed[column].to_numpy())})
        table = (
            pa.concat_tables([listed, unlisted], promote_options="default")
            if unlisted.num_rows
            else listed
        )
        table = table.take(pa.array(np.argsort(table[column].to_numpy(), kind="stable")))
    if ids.numbering is not None:
        keys = pa.chunked_array(ids.numbering.take(table[column].to_numpy()), pa.string())
        table = table.add_column(1, ids.key_column, keys)
    return table.combine_chunks()
