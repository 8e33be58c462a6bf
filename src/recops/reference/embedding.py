"""Reference of sums of rows of embedding tables; see :mod:`recops.ops.embedding`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from recops._dtypes import widened


def embedding_bags(
    bags: Iterable[tuple[Tensor, Tensor]], *, padding_idx: int | None = None
) -> Tensor:
    """Compute :func:`recops.embedding_bags` in PyTorch."""
    return torch.cat([_sums(weight, ids, padding_idx) for weight, ids in bags], 1)


def _sums(weight: Tensor, ids: Tensor, padding_idx: int | None) -> Tensor:
    ids = ids[:, None] if ids.ndim == 1 else ids
    rows = widened(weight)[ids.long()]
    if padding_idx is not None:
        rows = torch.where((ids != padding_idx)[..., None], rows, 0)
    return rows.sum(1).to(weight.dtype)
