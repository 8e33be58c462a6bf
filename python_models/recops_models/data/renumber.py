"""Other numbers for the text ids of a data set."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pyarrow as pa

from recops_models.data.dataset import Dataset
from recops_models.data.histories import Int64Array
from recops_models.data.vocabulary import Vocabulary


def renumbered(
    dataset: Dataset, entity: Literal["item", "user"], numbers: Int64Array, first_new: int
) -> Dataset:
    """Return a data set whose items or users have the ids ``numbers``.

    Args:
        dataset: a data set with text ids of this entity, which are numbered by any integers.
        entity: items or users.
        numbers: ``[n]`` i64, different new ids of the rows of the table; −1: the next free id from
            ``first_new`` on, in the order of the table.
        first_new: above all ``numbers``.

    Complexity:
        O(n log n) for n items or users, and O(E log n) for E events.
    """
    column = f"{entity}_id"
    table: pa.Table = getattr(dataset, f"{entity}s")
    before = table[column].to_numpy()
    is_new = numbers < 0
    after = numbers.copy()
    after[is_new] = first_new + np.arange(int(is_new.sum()))
    if np.array_equal(before, after):
        return dataset
    order = np.argsort(after, kind="stable")
    of_events = after[Vocabulary(before.copy()).index(dataset.interactions[column].to_numpy())]
    renamed = {
        f"{entity}s": _with_column(table, column, after).take(pa.array(order)),
        "interactions": _with_column(dataset.interactions, column, of_events),
    }
    return dataclasses.replace(dataset, **renamed)


def _with_column(table: pa.Table, column: str, values: Int64Array) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, pa.array(values))
