"""Rows of embedding tables in plain PyTorch; :mod:`recops.ops.embedding` says more."""

from __future__ import annotations

import torch
from torch import Tensor

from recops.reference.residual_quantization import _compute


def embedding_rows(weight: Tensor, ids: Tensor, *, padding_idx: int | None = None) -> Tensor:
    """See :func:`recops.embedding_rows`."""
    rows = _compute(weight)[ids.long()].to(weight.dtype)
    if padding_idx is None:
        return rows
    learns = ids != padding_idx % len(weight)
    return torch.where(learns[..., None], rows, rows.detach())


def embedding_sum(weight: Tensor, ids: Tensor, *, padding_idx: int | None = None) -> Tensor:
    """See :func:`recops.embedding_sum`."""
    rows = _compute(weight)[ids.long()]
    if padding_idx is not None:
        rows = torch.where((ids != padding_idx % len(weight))[..., None], rows, 0)
    return rows.sum(1).to(weight.dtype)
