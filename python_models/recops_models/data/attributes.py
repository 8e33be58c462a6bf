"""Categorical columns as tokens, and item token paths: attribute tokens, then codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.column_roles import column_role, is_list
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError

AUTO = "auto"
"""Setting that selects the column with the fewest values; ``auto:2`` selects two columns."""

MISSING = "—"
"""Attribute value of an item without one."""

_OWN = ("item_id", "item_key", "user_id", "user_key", "held_out")


@dataclass(frozen=True, eq=False)
class Attribute:
    """One categorical token per item: ``tokens [N]`` i64 index ``values``."""

    column: str
    values: list[str]
    tokens: NDArray[np.int64]


def item_attributes(dataset: Dataset, names: Sequence[str] = (AUTO,)) -> list[Attribute]:
    """Return the named attributes of all items, in the order of ``names``.

    A hierarchy goes from coarse to fine. ``"brand"`` names a column. ``"categories:1"`` names the
    second value of each list in a column of lists, ``"categories"`` the first. Items without a
    value get :data:`MISSING`. ``"auto"`` is the first of :func:`coarsest_attributes`, ``"auto:2"``
    the first two, or fewer if the items have fewer.

    Raises:
        DataError: a name is not a categorical column (the message lists them), or the count of
            ``auto`` is not an integer of at least 1.
    """
    attributes: list[Attribute] = []
    for name in names:
        start, separator, count = name.partition(":")
        if start != AUTO:
            attributes.append(_named(dataset, name))
        elif separator and not (count.isdecimal() and int(count)):
            raise DataError(
                f"{dataset.name}: attributes must be auto:M with M of 1 or more, got {name!r}"
            )
        else:
            attributes += coarsest_attributes(dataset, int(count or 1))
    return attributes


def coarsest_attributes(dataset: Dataset, count: int) -> list[Attribute]:
    """Return at most ``count`` attributes with at least two values each, coarse to fine.

    Columns come first, by ascending number of values; a list is represented by its first value. If
    these are fewer than ``count``, the second value of each list follows, then the third, and so
    on.
    """
    columns = dataset.item_columns("attribute")
    attributes = _varied(_attribute(name, dataset.items[name]) for name in columns)
    lists = [name for name in columns if is_list(dataset.items[name].type)]
    lengths = (pc.max(pc.list_value_length(dataset.items[name])).as_py() for name in lists)
    for position in range(1, max((length or 0 for length in lengths), default=0)):
        if len(attributes) >= count:
            break
        attributes += _varied(_named(dataset, f"{name}:{position}") for name in lists)
    return attributes[:count]


def _varied(attributes: Iterable[Attribute]) -> list[Attribute]:
    """Return the attributes of at least two values, by ascending number of values."""
    varied = [attribute for attribute in attributes if len(attribute.values) > 1]
    return sorted(varied, key=lambda attribute: len(attribute.values))


def shuffled(attributes: Sequence[Attribute], seed: int) -> list[Attribute]:
    """Return the attributes assigned to items by one random permutation, as a control.

    Attributes of one item still agree with each other but carry no information on the item. Any
    remaining gain of a model comes from longer paths, not from the attributes.
    """
    if not attributes:
        return []
    order = np.random.default_rng(seed).permutation(len(attributes[0].tokens))
    return [Attribute(each.column, each.values, each.tokens[order]) for each in attributes]


@dataclass(frozen=True, eq=False)
class ItemPaths:
    """Token paths of all items: m attribute tokens, then L codes.

    Attributes:
        tokens: ``[N, m + L]`` i64.
        vocab_sizes: number of tokens at each of the m + L positions.
        attributes: the attributes at the first m positions.
    """

    tokens: Tensor
    vocab_sizes: tuple[int, ...]
    attributes: tuple[Attribute, ...]


def item_paths(
    codes: Tensor, code_sizes: Sequence[int], attributes: Sequence[Attribute]
) -> ItemPaths:
    """Return the paths of attribute tokens followed by ``codes [N, L]``."""
    columns = [torch.from_numpy(attribute.tokens) for attribute in attributes]
    tokens = torch.cat([*(column[:, None] for column in columns), codes.long()], 1)
    sizes = (*(len(attribute.values) for attribute in attributes), *code_sizes)
    return ItemPaths(tokens, sizes, tuple(attributes))


def user_fields(dataset: Dataset, names: Sequence[str]) -> Tensor | None:
    """Return user fields as tokens ``[1 + U, F]`` i64, from 1; 0 marks a missing value.

    Row 0 stands for no user, row u + 1 for the user of index u. Return None if ``names`` is empty.

    Raises:
        DataError: a name is not a categorical column of the users.
    """
    if not names:
        return None
    columns = []
    for name in names:
        if name not in _categorical(dataset, "users"):
            raise _no_column(dataset, "user_fields", "users", name)
        column = dataset.users[name]
        field = _attribute(name, column)
        known = ~pc.is_null(column).to_numpy()
        columns.append(np.where(known, field.tokens + 1, 0))
    fields = np.stack(columns, 1)
    return torch.from_numpy(np.concatenate([np.zeros((1, len(names)), np.int64), fields]))


def item_titles(dataset: Dataset, items: pa.Table | None = None) -> list[str]:
    """Return one title per item: its first text column, else its source key, else its id.

    Args:
        dataset: defines which columns are text.
        items: the items, with the columns of ``dataset.items``; None takes ``dataset.items``.
    """
    items = dataset.items if items is None else items
    key = "item_key" if "item_key" in items.column_names else "item_id"
    keys = [str(item) for item in items[key].to_pylist()]
    for column in dataset.item_columns("text"):
        return [name or key for name, key in zip(items[column].to_pylist(), keys, strict=True)]
    return keys


def encode_attribute(attribute: Attribute, items: pa.Table) -> NDArray[np.int64]:
    """Return an attribute's tokens ``[n]`` i64 for items of another table; −1: unknown value."""
    index = pc.index_in(attribute_text(attribute, items), value_set=pa.array(attribute.values))
    tokens: NDArray[np.int64] = pc.fill_null(index, -1).to_numpy().astype(np.int64)
    return tokens


def attribute_text(attribute: Attribute, items: pa.Table) -> pa.ChunkedArray:
    """Return the attribute's values ``[n]`` for items of another table, or :data:`MISSING`."""
    column, _, position = attribute.column.rpartition(":")
    if attribute.column in items.column_names:
        column, position = attribute.column, "0"
    return _text(items[column], int(position))


def _named(dataset: Dataset, name: str) -> Attribute:
    available = _categorical(dataset, "items")
    column, _, position = name.rpartition(":")
    if name in available:
        return _attribute(name, dataset.items[name])
    if column in available and position.isdecimal() and is_list(dataset.items[column].type):
        return _attribute(name, dataset.items[column], int(position))
    raise _no_column(dataset, "attributes", "items", name)


def _no_column(dataset: Dataset, setting: str, table: str, name: str) -> DataError:
    available = ", ".join(_categorical(dataset, table)) or "none"
    return DataError(
        f"{dataset.name}: {setting} must name categorical columns of the {table}, got {name!r}; "
        f"available: {available}"
    )


def _categorical(dataset: Dataset, table: str) -> list[str]:
    """Return the columns that can be tokens: attributes and integers."""
    rows: pa.Table = getattr(dataset, table)
    return [
        name
        for name in rows.column_names
        if name not in _OWN
        and (column_role(rows[name]) == "attribute" or pa.types.is_integer(rows[name].type))
    ]


def _attribute(column: str, values: pa.ChunkedArray, position: int = 0) -> Attribute:
    names, tokens = np.unique(_text(values, position).to_numpy().astype(str), return_inverse=True)
    return Attribute(column, names.tolist(), tokens)


def _text(values: pa.ChunkedArray, position: int) -> pa.ChunkedArray:
    """Return one value per item, the one at ``position`` of a list, or :data:`MISSING`."""
    if is_list(values.type):
        rows = values.to_pylist()
        values = pa.chunked_array(
            [[row[position] if row and len(row) > position else None for row in rows]]
        )
    return pc.fill_null(values.cast(pa.string()), MISSING)
