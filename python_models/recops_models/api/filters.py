"""Filters of requests, as indices of a catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from recops_models.data.dataset import Dataset
from recops_models.data.where import rows_where


def intersection(first: Sequence[Tensor] | None, second: Sequence[Tensor]) -> list[Tensor]:
    """Return the items of each user in both; ``None`` stands for all items."""
    if first is None:
        return list(second)
    pairs = zip(second, first, strict=True)
    return [some[torch.isin(some, other)] for some, other in pairs]


def items_where(dataset: Dataset, condition: str) -> Tensor:
    """Return the indices of the items that meet a condition on their columns.

    ``item_id`` holds the ids of the source.

    Args:
        dataset: the catalogue.
        condition: see :mod:`recops_models.data.where`.

    Raises:
        DataError: the condition cannot be read, a column is missing, or a value does not fit it.
    """
    items = dataset.items
    if "item_key" in items.column_names:
        items = items.drop_columns(["item_id"])
        names = ["item_id" if name == "item_key" else name for name in items.column_names]
        items = items.rename_columns(names)
    return torch.from_numpy(np.flatnonzero(rows_where(items, condition)))
