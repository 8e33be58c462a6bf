"""Bags of rows of embedding tables, by the op where it knows their gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops


def embedding_bags(bags: Sequence[tuple[nn.Embedding, Tensor]]) -> Tensor:
    """``[B, Σ d]``: the sums of ``table(ids)`` over T, beside each other, of ids ``[B, T]``.

    Ids ``[B]`` are of bags of one row. Row 0 of every table is padding: it is zero and learns
    nothing. Rows are never written out.
    """
    if any(_is_torchs(table) for table, _ in bags):
        return torch.cat([_sums(table, ids) for table, ids in bags], -1)
    return recops.embedding_bags([(table.weight, ids) for table, ids in bags], padding_idx=0)


def _sums(table: nn.Embedding, ids: Tensor) -> Tensor:
    ids = ids[:, None] if ids.ndim == 1 else ids
    return F.embedding_bag(ids, table.weight, mode="sum", padding_idx=0, sparse=table.sparse)


def _is_torchs(table: nn.Embedding) -> bool:
    learns_sparsely = table.sparse and torch.is_grad_enabled() and table.weight.requires_grad
    return learns_sparsely or table.weight.is_cuda
