"""Items as a decoder spells them, attribute before codes, and how they are called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.dataset import Dataset

_MISSING = "—"


@dataclass(frozen=True, eq=False)
class Attribute:
    """One categorical token an item: ``tokens [N]`` i64 index ``values``."""

    column: str
    values: list[str]
    tokens: NDArray[np.int64]


def coarsest_attribute(dataset: Dataset) -> Attribute | None:
    """The attribute column with the fewest values, at least two; None where there is none.

    Of a list, the first value counts; an item without any has a value of its own.
    """
    columns = dataset.item_columns("attribute")
    attributes = [_attribute(name, dataset.items[name]) for name in columns]
    varied = [attribute for attribute in attributes if len(attribute.values) > 1]
    return min(varied, key=lambda attribute: len(attribute.values), default=None)


@dataclass(frozen=True, eq=False)
class ItemPaths:
    """Every item's tokens ``[N, m + L]`` i64, the positions' sizes, and what the first one is."""

    tokens: Tensor
    vocab_sizes: tuple[int, ...]
    attribute: Attribute | None


def item_paths(dataset: Dataset, codes: Tensor, code_sizes: tuple[int, ...]) -> ItemPaths:
    """UniRec's chain of attribute: the coarsest attribute, if there is any, then the codes."""
    attribute = coarsest_attribute(dataset)
    if attribute is None:
        return ItemPaths(codes, code_sizes, None)
    tokens = torch.cat([torch.from_numpy(attribute.tokens)[:, None], codes], 1)
    return ItemPaths(tokens, (len(attribute.values), *code_sizes), attribute)


def item_titles(dataset: Dataset) -> list[str]:
    """One name an item: its first text column, else its key in the source, else its id."""
    ids = dataset.items["item_id"].to_pylist()
    for column in (*dataset.item_columns("text"), "item_key"):
        if column in dataset.items.column_names:
            names = dataset.items[column].to_pylist()
            return [name or str(item) for name, item in zip(names, ids, strict=True)]
    return [str(item) for item in ids]


def _attribute(column: str, values: pa.ChunkedArray) -> Attribute:
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        values = pa.chunked_array([[row[0] if row else None for row in values.to_pylist()]])
    text = pc.fill_null(values.cast(pa.string()), _MISSING)
    names, tokens = np.unique(text.to_numpy().astype(str), return_inverse=True)
    return Attribute(column, names.tolist(), tokens)
