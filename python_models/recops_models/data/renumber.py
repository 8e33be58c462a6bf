"""Numbers of an earlier data set for the text ids of another one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.dataset import Dataset, Entity
from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array
from recops_models.data.vocabulary import Vocabulary


def renumbered(dataset: Dataset, items: pa.Table, users: pa.Table | None) -> Dataset:
    """Return a data set whose text ids have the numbers of an earlier one; new ids follow.

    Integer ids are their own numbers and stay.

    Args:
        dataset: the data set, whose text ids are numbered by any integers.
        items: the earlier items: columns ``key`` ``[N]``, ids of the source, and ``id`` i64.
        users: the same of users; None: they keep their numbers.

    Raises:
        DataError: ids are text in one of both and integers in the other, or no item is known.

    Complexity:
        O(n log n) for n items and users, and O(E log n) for E events.
    """
    dataset, has_known = _entity_renumbered(dataset, "item", items)
    if len(items) and not has_known:
        raise DataError(
            f"{dataset.name} has none of the {len(items):,} items that the model was "
            f"trained on, such as {items['key'][0]}: train again"
        )
    if users is None:
        return dataset
    return _entity_renumbered(dataset, "user", users)[0]


def _entity_renumbered(dataset: Dataset, entity: Entity, known: pa.Table) -> tuple[Dataset, bool]:
    """Return the data set, and whether it has any of the known ids."""
    table: pa.Table = getattr(dataset, f"{entity}s")
    column, text_column = f"{entity}_id", f"{entity}_key"
    was_text = not pa.types.is_integer(known["key"].type)
    is_text = text_column in table.column_names
    if was_text != is_text:
        now, then = ("integers", "text") if was_text else ("text", "integers")
        raise DataError(f"{dataset.name}: {entity} ids are {now}, but were {then} in training")
    value_set = known["key"].combine_chunks()
    keys = table[text_column if is_text else column].cast(value_set.type)
    rows = pc.fill_null(pc.index_in(keys, value_set=value_set), -1).to_numpy()
    has_known = bool((rows >= 0).any())
    if not is_text:
        return dataset, has_known

    before, numbers = table[column].to_numpy(), known["id"].to_numpy()
    after = np.arange(len(rows)) + int(numbers.max(initial=-1)) + 1
    after -= np.cumsum(rows >= 0)
    after[rows >= 0] = numbers[rows[rows >= 0]]
    if np.array_equal(before, after):
        return dataset, has_known
    order = np.argsort(after, kind="stable")
    of_events = after[Vocabulary(before.copy()).index(dataset.interactions[column].to_numpy())]
    tables = {
        f"{entity}s": _with_column(table, column, after).take(pa.array(order)),
        "interactions": _with_column(dataset.interactions, column, of_events),
    }
    return dataclasses.replace(dataset, **tables), has_known


def _with_column(table: pa.Table, column: str, values: Int64Array) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, pa.array(values))
