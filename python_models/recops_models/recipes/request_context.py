"""Context of requests: event columns that a caller states instead of those of earlier events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from recops_models.data.columns import id_text, row_of
from recops_models.data.dataset import Dataset, entity_keys
from recops_models.data.errors import DataError
from recops_models.data.event_columns import EventColumn, Per
from recops_models.data.histories import Int64Array
from recops_models.examples.stated_values import StatedValues
from recops_models.recipes.request_events import RequestEvents, cast_column

_IDS: dict[Per, tuple[str, ...]] = {"request": ("user_id",), "item": ("user_id", "item_id")}
_OTHER: dict[Per, str] = {
    "request": "differs between items: use offers",
    "item": "has one value per request (`per: item` in schema.yaml: one per item): use context",
}


def stated_values(
    argument: str,
    per: Per,
    table: pa.Table,
    events: RequestEvents,
    readable: Sequence[EventColumn],
    *,
    model: str,
) -> StatedValues:
    """Return the event columns that a table states for requests.

    Args:
        argument: name of the argument or option, for errors.
        per: ``"request"``: the context, one row for all requests, or one per ``user_id``.
            ``"item"``: offers, one row per ``item_id``, or per ``user_id`` and ``item_id``.
        table: ids and event columns. Rows of other users and unknown items are skipped. A missing
            value is an unknown one.
        events: the requests.
        readable: event columns that the model reads at a request.
        model: name of the model, for errors.

    Raises:
        DataError: the model reads no such column, a value has another type, or rows contradict
            each other.
    """
    values = _checked_columns(argument, table, events.dataset, readable, per, model)
    ids = [each for each in _IDS[per] if each in table.column_names]
    if per == "item" and "item_id" not in ids:
        available = ", ".join(table.column_names)
        raise DataError(f"{argument}: no column 'item_id' (columns: {available})")
    if not ids and table.num_rows != 1:
        raise DataError(
            f"{argument}: must have one row, or a column user_id, got {table.num_rows:,} rows"
        )
    rows = {each: _rows(argument, each, table, events) for each in ids}
    is_asked = np.ones(table.num_rows, dtype=np.bool_)
    for each in rows.values():
        is_asked &= each >= 0
    _check_unique(argument, table, rows, is_asked)
    users, items = rows.get("user_id"), rows.get("item_id")
    return StatedValues(
        values.filter(pa.array(is_asked)),
        None if users is None else users[is_asked],
        None if items is None else items[is_asked],
    )


def columns_of_pairs(
    table: pa.Table, dataset: Dataset, readable: Sequence[EventColumn]
) -> pa.Table | None:
    """Return the event columns of a table of users and items that the model reads.

    None if there are none.

    Raises:
        DataError: a column has another type than in the data.
    """
    names = [column.name for column in readable if column.name in table.column_names]
    return _cast("score: frame", table, dataset, names) if names else None


def _checked_columns(
    argument: str,
    table: pa.Table,
    dataset: Dataset,
    readable: Sequence[EventColumn],
    per: Per,
    model: str,
) -> pa.Table:
    """Return the event columns of ``table``, with the types of the data set."""
    names = [each for each in table.column_names if each not in _IDS[per]]
    own = {column.name: column for column in dataset.event_columns}
    known = {column.name: column for column in readable}
    for each in names:
        if each in known and known[each].per == per:
            continue
        if each in known:
            raise DataError(f"{argument}: column {each!r} {_OTHER[per]}")
        if each in own and own[each].known == "after":
            raise DataError(
                f"{argument}: column {each!r} is known only after an event, so no request has it"
            )
        available = ", ".join(column.name for column in readable if column.per == per)
        reason = f"available: {available}" if available else "it reads none of this kind"
        raise DataError(f"{argument}: {model} reads no column {each!r} of requests; {reason}")
    if not names:
        raise DataError(
            f"{argument}: must have a column that {model} reads at a request, got only ids"
        )
    return _cast(argument, table, dataset, names)


def _cast(argument: str, table: pa.Table, dataset: Dataset, names: Sequence[str]) -> pa.Table:
    schema = dataset.interactions.schema
    return pa.table(
        {each: cast_column(argument, table[each], schema.field(each)) for each in names}
    )


def _rows(argument: str, column: str, table: pa.Table, events: RequestEvents) -> Int64Array:
    """Return the index of each row's user or item; −1 for one that no request has."""
    asked = pa.chunked_array(table[column])
    text = id_text(asked)
    missing = np.flatnonzero([value == "" for value in text.to_pylist()])
    if len(missing):
        raise DataError(f"{argument}: {column} is missing in row {missing[0] + 1}")
    if column == "item_id":
        return row_of(entity_keys(events.dataset, "item"), asked)
    request = row_of(events.keys, asked)
    return np.where(request < 0, -1, events.users[request])


def _check_unique(
    argument: str, table: pa.Table, rows: dict[str, Int64Array], is_asked: np.ndarray
) -> None:
    if not rows or not is_asked.any():
        return
    pairs = np.stack([each[is_asked] for each in rows.values()], 1)
    _, first, counts = np.unique(pairs, axis=0, return_index=True, return_counts=True)
    if (counts > 1).any():
        row = int(np.flatnonzero(is_asked)[first[int((counts > 1).argmax())]])
        repeated = ", ".join(f"{each} {table[each][row].as_py()!r}" for each in rows)
        raise DataError(f"{argument}: {repeated} must have one row, got several")
