"""Rows of a model's items for another list of items.

Row ``i`` of the result is row ``rows[i]`` of the model. A new item, ``rows[i] = −1``, gets the row
that stands for an unknown item.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rows_or(values: Tensor, rows: Tensor, fill: Tensor | float) -> Tensor:
    """Return ``values[rows]`` ``[N', …]``, with ``fill`` for −1.

    Example:
        >>> import torch
        >>> from recops_models.generative.item_rows import rows_or
        >>> rows_or(torch.tensor([5, 6, 7]), torch.tensor([2, -1, 0]), 0)
        tensor([7, 0, 5])
    """
    rows = rows.to(values.device)
    other = torch.as_tensor(fill, dtype=values.dtype, device=values.device)
    if not len(values):
        return other.expand(len(rows), *values.shape[1:])
    is_new = (rows < 0).view(-1, *[1] * (values.ndim - 1))
    return torch.where(is_new, other, values[rows.clamp(min=0)])


def rows_or_mean(values: Tensor, rows: Tensor) -> Tensor:
    """Return ``values[rows]`` ``[N', …]``, with the mean of all rows for −1.

    Example:
        >>> import torch
        >>> from recops_models.generative.item_rows import rows_or_mean
        >>> rows_or_mean(torch.tensor([[2.0], [4.0]]), torch.tensor([1, -1]))[:, 0]
        tensor([4., 3.])
    """
    return rows_or(values, rows, values.mean(0))


def with_padding(rows: Tensor) -> Tensor:
    """Return the rows ``[1 + N']`` of a table with a padding row, whose items count from 1.

    Example:
        >>> import torch
        >>> from recops_models.generative.item_rows import with_padding
        >>> with_padding(torch.tensor([1, -1]))
        tensor([ 0,  2, -1])
    """
    shifted = rows + 1
    return torch.cat([rows.new_zeros(1), shifted.where(rows >= 0, -1)])
