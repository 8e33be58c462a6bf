"""Sums of embedding rows over several tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops


class ComposedTable(nn.Module, ABC):
    """Embedding table whose rows are computed when they are read, or come from another library.

    If it learns a ``weight``, see :class:`~recops_models.layers.learned_table.LearnedTable`.

    Attributes:
        embedding_dim: d, the width of a row.

    Example:
        >>> import torch
        >>> from recops_models.layers.embedding_bags import ComposedTable, embedding_bags
        >>> class Doubled(ComposedTable):
        ...     embedding_dim = 1
        ...
        ...     def read(self, ids):
        ...         return 2 * torch.arange(5.0)[:, None], ids
        >>> embedding_bags([(Doubled(), torch.tensor([[1, 3], [2, 0]]))])
        tensor([[8.],
                [4.]])
    """

    embedding_dim: int

    @abstractmethod
    def read(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows ``[n, d]``, of which row 0 is zero (padding), and each id's index in them."""

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows ``[..., d]`` of ``ids``, as :class:`torch.nn.Embedding` does."""
        rows, index = self.read(ids)
        return F.embedding(index, rows, padding_idx=0)


Table: TypeAlias = nn.Embedding | ComposedTable


def embedding_bags(bags: Sequence[tuple[Table, Tensor]]) -> Tensor:
    """Return ``[B, Σ d]``: per table, the sum of its rows over T, concatenated.

    Args:
        bags: pairs of a table and ids ``[B, T]``; or ids ``[B]``, one per bag. Row 0 of every table
            is padding: it is zero and has no gradient.

    The op :func:`recops.embedding_bags` sums rows without writing them out. Torch's
    ``embedding_bag`` is used for sparse gradients, which the op does not have.

    Example:
        >>> import torch
        >>> from recops_models.layers.embedding_bags import embedding_bags
        >>> rows = torch.tensor([[0.0], [1.0], [2.0]])
        >>> item = torch.nn.Embedding.from_pretrained(rows, padding_idx=0)
        >>> embedding_bags([(item, torch.tensor([2, 1])), (item, torch.tensor([[1, 2], [1, 0]]))])
        tensor([[2., 3.],
                [1., 1.]])
    """
    read = [
        table.read(ids) if isinstance(table, ComposedTable) else (table.weight, ids)
        for table, ids in bags
    ]
    if any(_has_sparse_gradient(table) for table, _ in bags):
        sparse = [isinstance(table, nn.Embedding) and table.sparse for table, _ in bags]
        return torch.cat(
            [_sums(*inputs, is_sparse) for inputs, is_sparse in zip(read, sparse, strict=True)], -1
        )
    return recops.embedding_bags(read, padding_idx=0)


def _sums(rows: Tensor, ids: Tensor, sparse: bool) -> Tensor:
    ids = ids[:, None] if ids.ndim == 1 else ids
    return F.embedding_bag(ids, rows, mode="sum", padding_idx=0, sparse=sparse)


def _has_sparse_gradient(table: Table) -> bool:
    if isinstance(table, ComposedTable):
        return False
    return table.sparse and torch.is_grad_enabled() and table.weight.requires_grad
