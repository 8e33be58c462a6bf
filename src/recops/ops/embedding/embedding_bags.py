"""Sums of rows of embedding tables, for many features in one call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from recops._load import ops
from recops.ops._autograd import refuse_derivative, register_autograd
from recops.ops._data_errors import raise_data_errors
from recops.ops.embedding._bags import check_bags

__all__ = ["embedding_bags"]


def embedding_bags(
    bags: Iterable[tuple[Tensor, Tensor]], *, padding_idx: int | None = None
) -> Tensor:
    """Compute ``cat([weight[ids].sum(1) for weight, ids in bags], 1)`` without gathering rows.

    The columns of a feature in row b hold the sum of ``weight[ids[b, t]]`` over t, in order of t,
    and zero for an empty sum. For ids of shape ``[B]`` they hold a copy of one table row. The
    gradient of table row v is the sum of the output gradients over all b and t with
    ``ids[b, t] = v``. It is added feature by feature, in order of occurrence, and is zero for
    ``padding_idx``. If several features use the same tensor as their table, it has one gradient.

    Args:
        bags: ``(weight, ids)`` of each feature. ``weight`` is ``[V, d]`` float32, bfloat16, float16
            or float64, all of one dtype, any strides; copied at each call if it is not
            contiguous. ``ids`` is ``[B]`` or ``[B, T]`` int32 or int64, from 0 to V − 1. V, d and T
            may differ between features.
        padding_idx: a row of every table that is not summed and has no gradient.

    Returns:
        ``[B, Σ d]`` of the tables' dtype, summed in float32 (float64 for float64) and rounded once.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: there are no bags, numbers of dimensions or rows do not match, or padding_idx is
            out of range.
        IndexError: an id is not a row of its table.
        NotImplementedError: a second derivative is computed.

    On CUDA tensors kernels run for float32, bfloat16 and float16, and for gradients of tables of up
    to 32 features; composites otherwise. Kernels cannot raise errors in data: an id that is no row
    makes the values of its bag NaN, adds nothing to gradients, and raises in :func:`recops.debug`.
    A gradient is summed in parts of at most 32 occurrences, in a fixed order. Forward and backward
    can be captured in a CUDA graph.

    Time is O(Σ B · T · d). The backward pass takes O(Σ B · T · d + Σ V · d), because gradients are
    dense. Results are bit-identical at any thread count.

    Source: this library. For one table it equals ``torch.nn.functional.embedding_bag`` with
    ``mode="sum"``.

    Examples:
        >>> weight = torch.tensor([[0.0, 0.0], [1.0, 2.0], [10.0, 20.0]])
        >>> item, history = torch.tensor([2]), torch.tensor([[1, 2]])
        >>> recops.embedding_bags([(weight, item), (weight, history)])
        tensor([[10., 20., 11., 22.]])
    """
    op = "embedding_bags"
    weights, ids, tables = check_bags(op, bags, padding_idx)
    arguments = (weights, ids, tables, -1 if padding_idx is None else padding_idx)
    values = ops.embedding_bags(*arguments)
    raise_data_errors(op, arguments, values)
    return values


def _fake(weights: list[Tensor], ids: list[Tensor], tables: list[int], padding_idx: int) -> Tensor:
    return weights[0].new_empty((ids[0].shape[0], sum(weights[table].shape[1] for table in tables)))


def _fake_backward(
    grad: Tensor,
    ids: list[Tensor],
    tables: list[int],
    num_rows: list[int],
    widths: list[int],
    padding_idx: int,
) -> list[Tensor]:
    return [
        grad.new_empty((0 if rows == -1 else rows, width))
        for rows, width in zip(num_rows, widths, strict=True)
    ]


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    weights, ids, ctx.tables, ctx.padding_idx = inputs
    # −1 marks a table that needs no gradient.
    ctx.num_rows = [weight.shape[0] if weight.requires_grad else -1 for weight in weights]
    ctx.widths = [weight.shape[1] for weight in weights]
    ctx.save_for_backward(*ids)


def _grad(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    ids = list(ctx.saved_tensors)
    all_grads = ops.embedding_bags_backward(
        grad, ids, ctx.tables, ctx.num_rows, ctx.widths, ctx.padding_idx
    )
    grads = [
        None if rows == -1 else weight_grad
        for rows, weight_grad in zip(ctx.num_rows, all_grads, strict=True)
    ]
    return grads, [None] * len(ids), None, None


torch.library.register_fake("recops::embedding_bags", _fake)
torch.library.register_fake("recops::embedding_bags_backward", _fake_backward)
register_autograd("embedding_bags", _grad, _save)
refuse_derivative("embedding_bags_backward", "embedding bags have")
