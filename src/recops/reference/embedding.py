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


def embedding_bags_update_(
    bags: Iterable[tuple[Tensor, Tensor]],
    grad: Tensor,
    states: Iterable[Tensor] = (),
    *,
    optimizer: str,
    lr: float,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    padding_idx: int | None = None,
) -> None:
    """Compute :func:`recops.embedding_bags_update_` in PyTorch, with dense gradients of tables."""
    bags = list(bags)
    columns = grad.split([weight.shape[1] for weight, _ in bags], 1)
    weights = list(dict.fromkeys(weight for weight, _ in bags))
    of_table = list(states)
    for i, weight in enumerate(weights):
        grads = torch.zeros_like(widened(weight))
        occurs = torch.zeros(len(weight), dtype=torch.bool, device=weight.device)
        for (table, ids), part in zip(bags, columns, strict=True):
            if table is not weight:
                continue
            rows = ids.reshape(len(ids), ids.numel() // max(len(ids), 1)).long()
            values = widened(part)[:, None].expand(*rows.shape, -1)
            is_used = rows != (-1 if padding_idx is None else padding_idx)
            grads.index_put_((rows[is_used],), values[is_used], accumulate=True)
            occurs[rows[is_used]] = True
        grads += weight_decay * widened(weight)
        change = lr * grads
        if optimizer == "adagrad":
            of_table[i][occurs] += grads[occurs].square()
            change = change / (of_table[i].sqrt() + eps)
        elif optimizer == "rowwise_adagrad":
            of_table[i][occurs] += grads[occurs].square().mean(1)
            change = change / (of_table[i].sqrt() + eps)[:, None]
        weight[occurs] = (widened(weight) - change).to(weight.dtype)[occurs]


def _sums(weight: Tensor, ids: Tensor, padding_idx: int | None) -> Tensor:
    ids = ids[:, None] if ids.ndim == 1 else ids
    rows = widened(weight)[ids.long()]
    if padding_idx is not None:
        rows = torch.where((ids != padding_idx)[..., None], rows, 0)
    return rows.sum(1).to(weight.dtype)
