"""Rows of an embedding table, and their sums, by the ops where these know their gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops


def rows_of(table: nn.Embedding, ids: Tensor) -> Tensor:
    """``table(ids)``, of ids of any shape; row 0 is padding and learns nothing."""
    if _is_torchs(table):
        rows: Tensor = table(ids)
        return rows
    return recops.embedding_rows(table.weight, ids, padding_idx=0)


def sums_of_rows(table: nn.Embedding, ids: Tensor) -> Tensor:
    """``table(ids).sum(1)``, ``[B, d]``, where row 0 is zero; rows are never written out."""
    if _is_torchs(table):
        return F.embedding_bag(ids, table.weight, mode="sum", padding_idx=0, sparse=table.sparse)
    return recops.embedding_sum(table.weight, ids, padding_idx=0)


def _is_torchs(table: nn.Embedding) -> bool:
    learns_sparsely = table.sparse and torch.is_grad_enabled() and table.weight.requires_grad
    return learns_sparsely or table.weight.is_cuda
