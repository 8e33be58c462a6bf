"""Rows of an embedding table, one by one or summed, and the table's dense gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recops._load import ops
from recops.ops._autograd import refuse_derivative, register_autograd
from recops.ops._checks import FLOATS, INDICES, check_tensor

__all__ = ["embedding_rows", "embedding_sum"]


def embedding_rows(weight: Tensor, ids: Tensor, *, padding_idx: int | None = None) -> Tensor:
    """``weight[ids]``, as :func:`torch.nn.functional.embedding`.

    Row v of the gradient is the sum of the gradients of those rows of the result whose id is v, in
    order of occurrence, and zero for ``padding_idx``, whose row is returned as it is.

    Args:
        weight: ``[V, d]`` float32, bfloat16, float16 or float64, any strides; copied at each call
            where it is not contiguous.
        ids: ``[...]`` int32 or int64, from 0 to V − 1.
        padding_idx: a row that learns nothing; from −V to V − 1, a negative one counts from the
            end.

    Returns:
        ``[..., d]``, of the dtype of ``weight``.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: another number of dimensions; padding_idx out of range.
        IndexError: an id that is no row.
        NotImplementedError: a second derivative.

    Time is O(N · d) for N ids; in backward O(N · d + V · d), for the gradient is dense. It is
    summed in float32 (float64 for float64) and rounded once: the same bits at any number of
    threads.
    """
    op = "embedding_rows"
    check_tensor(op, "weight", weight, ndim=2, dtypes=FLOATS)
    check_tensor(op, "ids", ids, ndim=None, dtypes=INDICES, device=weight.device)
    return ops.embedding_rows(weight, ids, _padding(op, weight, padding_idx))


def embedding_sum(weight: Tensor, ids: Tensor, *, padding_idx: int | None = None) -> Tensor:
    """``weight[ids].sum(1)``, without the rows ``padding_idx``; no row is written out.

    The sum of row b is that of ``weight[ids[b, t]]`` over t, in order of t; zero where nothing is
    summed. Row v of the gradient is the sum over all b and t with ``ids[b, t] = v`` of the gradient
    of row b of the result, in order of occurrence, and zero for ``padding_idx``.

    Args:
        weight: ``[V, d]`` float32, bfloat16, float16 or float64, any strides; copied at each call
            where it is not contiguous.
        ids: ``[B, T]`` int32 or int64, from 0 to V − 1.
        padding_idx: a row that adds nothing and learns nothing; from −V to V − 1, a negative one
            counts from the end.

    Returns:
        ``[B, d]``, of the dtype of ``weight``: summed in float32 (float64 for float64), rounded
        once.

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: another number of dimensions; padding_idx out of range.
        IndexError: an id that is no row.
        NotImplementedError: a second derivative.

    Time is O(B · T · d), in backward O(B · T · d + V · d), for the gradient is dense; the same bits
    at any number of threads.
    """
    op = "embedding_sum"
    check_tensor(op, "weight", weight, ndim=2, dtypes=FLOATS)
    check_tensor(op, "ids", ids, ndim=2, dtypes=INDICES, device=weight.device)
    return ops.embedding_sum(weight, ids, _padding(op, weight, padding_idx))


def _padding(op: str, weight: Tensor, padding_idx: int | None) -> int:
    if padding_idx is None:
        return -1
    size = weight.shape[0]
    if not -size <= padding_idx < size:
        raise ValueError(
            f"{op}: padding_idx must be from {-size} to {size - 1}, weight having {size} rows, "
            f"got {padding_idx}"
        )
    return padding_idx if padding_idx >= 0 else padding_idx + size


def _fake_rows(weight: Tensor, ids: Tensor, padding_idx: int) -> Tensor:
    return weight.new_empty((*ids.shape, weight.shape[1]))


def _fake_sum(weight: Tensor, ids: Tensor, padding_idx: int) -> Tensor:
    return weight.new_empty((ids.shape[0], weight.shape[1]))


def _fake_backward(grad: Tensor, ids: Tensor, num_rows: int, padding_idx: int) -> Tensor:
    return grad.new_empty((num_rows, grad.shape[-1]))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    weight, ids, ctx.padding_idx = inputs
    ctx.size = weight.shape[0]
    ctx.save_for_backward(ids)


def _grad(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (ids,) = ctx.saved_tensors
    return ops.embedding_backward(grad, ids, ctx.size, ctx.padding_idx), None, None


torch.library.register_fake("recops::embedding_rows", _fake_rows)
torch.library.register_fake("recops::embedding_sum", _fake_sum)
torch.library.register_fake("recops::embedding_backward", _fake_backward)
register_autograd("embedding_rows", _grad, _save)
register_autograd("embedding_sum", _grad, _save)
refuse_derivative("embedding_backward", "rows of embeddings have")
