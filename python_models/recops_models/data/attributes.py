"""Categorical columns as tokens: items as a decoder spells them, attributes before codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.dataset import Dataset, column_role, is_list
from recops_models.data.errors import DataError

AUTO = "auto"
"""Name that chooses attributes: the column with the fewest values; ``auto:2`` chooses two."""

MISSING = "—"
"""The value of an item that has none."""

_OWN = ("item_id", "item_key", "user_id", "user_key", "held_out")


@dataclass(frozen=True, eq=False)
class Attribute:
    """One categorical token an item: ``tokens [N]`` i64 index ``values``."""

    column: str
    values: list[str]
    tokens: NDArray[np.int64]


def item_attributes(dataset: Dataset, names: Sequence[str] = (AUTO,)) -> list[Attribute]:
    """The attributes of all items, in the order named: coarse to fine, where they are a hierarchy.

    ``"brand"`` is a column, ``"categories:1"`` the second value of each list in one; of a list
    without a place named the first value counts. An item without a value has one of its own.
    ``"auto"`` stands for the first of :func:`coarsest_attributes`, ``"auto:2"`` for the first two,
    or for fewer where there are fewer.

    Raises:
        DataError: a name is no such column; it names the columns there are. A count of ``auto`` is
            no number of 1 or more.
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

    Columns come first, by ascending number of values; of a list the first value counts. Where they
    are too few, the second value of each list follows, then the third, and so on.
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
    """The same attributes dealt to items by one random permutation: a control.

    What an item's attributes say of each other stays, what they say of the item is gone. Whatever a
    model still gains by them, it gains by longer paths and not by attributes.
    """
    if not attributes:
        return []
    order = np.random.default_rng(seed).permutation(len(attributes[0].tokens))
    return [Attribute(each.column, each.values, each.tokens[order]) for each in attributes]


@dataclass(frozen=True, eq=False)
class ItemPaths:
    """Every item's tokens ``[N, m + L]`` i64, the positions' sizes, and what the first m are."""

    tokens: Tensor
    vocab_sizes: tuple[int, ...]
    attributes: tuple[Attribute, ...]


def item_paths(
    codes: Tensor, code_sizes: Sequence[int], attributes: Sequence[Attribute]
) -> ItemPaths:
    """Chain of attribute: the attributes' tokens, then the codes ``[N, L]``."""
    columns = [torch.from_numpy(attribute.tokens) for attribute in attributes]
    tokens = torch.cat([*(column[:, None] for column in columns), codes.long()], 1)
    sizes = (*(len(attribute.values) for attribute in attributes), *code_sizes)
    return ItemPaths(tokens, sizes, tuple(attributes))


def user_fields(dataset: Dataset, names: Sequence[str]) -> Tensor | None:
    """``[1 + U, F]`` i64: fields of all users as tokens from 1; 0 where there is no value.

    Row 0 is nobody, row u + 1 the user of index u. None where no field is named.

    Raises:
        DataError: a name is no column of the users that could be a field.
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
    """One name an item: what its first text column says, else its key in the source, else its id.

    Args:
        dataset: whose columns of text are looked for.
        items: those named, with columns as ``dataset.items`` has them; None: these.
    """
    items = dataset.items if items is None else items
    key = "item_key" if "item_key" in items.column_names else "item_id"
    keys = [str(item) for item in items[key].to_pylist()]
    for column in dataset.item_columns("text"):
        return [name or key for name, key in zip(items[column].to_pylist(), keys, strict=True)]
    return keys


def encode_attribute(attribute: Attribute, items: pa.Table) -> NDArray[np.int64]:
    """``[n]`` i64: an attribute's tokens of items of another table; −1 for a value that it does not
    have.
    """
    found = pc.index_in(attribute_text(attribute, items), value_set=pa.array(attribute.values))
    tokens: NDArray[np.int64] = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    return tokens


def attribute_text(attribute: Attribute, items: pa.Table) -> pa.ChunkedArray:
    """``[n]``: what items of another table have as an attribute; :data:`MISSING` for nothing."""
    column, _, place = attribute.column.rpartition(":")
    if attribute.column in items.column_names:
        column, place = attribute.column, "0"
    return _text(items[column], int(place))


def _named(dataset: Dataset, name: str) -> Attribute:
    there = _categorical(dataset, "items")
    column, _, place = name.rpartition(":")
    if name in there:
        return _attribute(name, dataset.items[name])
    if column in there and place.isdecimal() and is_list(dataset.items[column].type):
        return _attribute(name, dataset.items[column], int(place))
    raise _no_column(dataset, "attributes", "items", name)


def _no_column(dataset: Dataset, setting: str, table: str, name: str) -> DataError:
    there = ", ".join(_categorical(dataset, table)) or "none"
    return DataError(
        f"{dataset.name}: {setting} must name categorical columns of the {table}, got {name!r}; "
        f"there are {there}"
    )


def _categorical(dataset: Dataset, table: str) -> list[str]:
    """The columns that can be a token: attributes, and whole numbers."""
    rows: pa.Table = getattr(dataset, table)
    return [
        name
        for name in rows.column_names
        if name not in _OWN
        and (column_role(rows[name]) == "attribute" or pa.types.is_integer(rows[name].type))
    ]


def _attribute(column: str, values: pa.ChunkedArray, place: int = 0) -> Attribute:
    names, tokens = np.unique(_text(values, place).to_numpy().astype(str), return_inverse=True)
    return Attribute(column, names.tolist(), tokens)


def _text(values: pa.ChunkedArray, place: int) -> pa.ChunkedArray:
    """One value an item, that at ``place`` of a list; :data:`MISSING` where there is none."""
    if is_list(values.type):
        rows = values.to_pylist()
        values = pa.chunked_array([[r[place] if r and len(r) > place else None for r in rows]])
    return pc.fill_null(values.cast(pa.string()), MISSING)
