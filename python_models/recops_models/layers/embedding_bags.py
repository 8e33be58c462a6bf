"""Bags of rows of embedding tables, by the op where it knows their gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops


class ComposedTable(nn.Module, ABC):
    """A table whose rows are made of others when they are read.

    Attributes:
        embedding_dim: d, the width of a row.
    """

    embedding_dim: int

    @abstractmethod
    def read(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Rows ``[n, d]``, of which row 0 is padding and zero, and where ``ids`` stand in them."""

    def forward(self, ids: Tensor) -> Tensor:
        """``[..., d]``: the rows of ``ids``, as of an :class:`torch.nn.Embedding`."""
        rows, places = self.read(ids)
        return F.embedding(places, rows, padding_idx=0)


Table: TypeAlias = nn.Embedding | ComposedTable


def embedding_bags(bags: Sequence[tuple[Table, Tensor]]) -> Tensor:
    """``[B, Σ d]``: the sums of ``table(ids)`` over T, beside each other, of ids ``[B, T]``.

    Ids ``[B]`` are of bags of one row. Row 0 of every table is padding: it is zero and learns
    nothing. Rows are never written out.
    """
    read = [
        table.read(ids) if isinstance(table, ComposedTable) else (table.weight, ids)
        for table, ids in bags
    ]
    if any(_is_torchs(table) for table, _ in bags):
        sparse = [isinstance(table, nn.Embedding) and table.sparse for table, _ in bags]
        return torch.cat([_sums(*of, each) for of, each in zip(read, sparse, strict=True)], -1)
    return recops.embedding_bags(read, padding_idx=0)


def _sums(rows: Tensor, ids: Tensor, sparse: bool) -> Tensor:
    ids = ids[:, None] if ids.ndim == 1 else ids
    return F.embedding_bag(ids, rows, mode="sum", padding_idx=0, sparse=sparse)


def _is_torchs(table: Table) -> bool:
    if isinstance(table, ComposedTable):
        return False
    learns_sparsely = table.sparse and torch.is_grad_enabled() and table.weight.requires_grad
    return learns_sparsely or table.weight.is_cuda
