"""Recurrent layers: scans with a fused input projection, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recops._checks import FLOATS, check_flag, check_tensor
from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._autograd import refuse_derivative, register_autograd
from recops.ops.recurrent._cells import (
    Cell,
    Convention,
    Reset,
    Update,
    check_indices,
    check_shapes,
    fake_scan,
    hidden_size,
    resolve,
    save_scan,
    to_dtype,
    values_to_keep,
)

__all__ = ["recurrent_layer"]


def recurrent_layer(
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    h0: Tensor | None = None,
    *,
    attention: Tensor | None = None,
    lengths: Tensor | None = None,
    cell: Cell = "gru",
    reset: Reset = "after",
    update: Update = "paper",
    convention: Convention | None = None,
    checkpoint: bool = False,
) -> tuple[Tensor, Tensor]:
    """Run :func:`recurrent_scan` on ``gates = x @ w_ih.T + b_ih`` without storing the gates.

    The gradients of the gates are not stored either: the gradients of x and of the weights are
    computed from a few steps at a time. The kernel for CUDA tensors stores both while it runs, in
    3H values per step of a row. Cells, lengths, precision and guarantees are those of
    :func:`recurrent_scan`. The weights have the layout of a layer of ``torch.nn.GRU``.

    Args:
        x: ``[B, T, I]`` float32, bfloat16, float16 or float64, any strides.
        w_ih: ``[3H, I]`` floating, converted to float32 (float64 for float64 x).
        w_hh: ``[3H, H]``.
        b_ih: ``[3H]``, or None for zeros.
        b_hh: ``[3H]``, or None for zeros.
        h0: ``[B, H]``, or None for zeros.
        attention: ``[B, T]``, only for "agru" and "augru".
        lengths: ``[B]`` int32 or int64 from 0 to T; None if all are T.
        cell: as in :func:`recurrent_scan`, like all following arguments.
        reset: position of the reset gate.
        update: how attention enters an AUGRU.
        convention: name of a pair of ``reset`` and ``update``.
        checkpoint: keep only states for the backward pass and recompute the gates.

    Returns:
        ``outputs [B, T, H]`` of x's dtype and ``h_last [B, H]`` float32 (float64 for float64).

    Raises:
        TypeError, ValueError, NotImplementedError: as in :func:`recurrent_scan`.

    Time is O(cells · H · (H + I)) with cells the sum of lengths.

    Source: that of :func:`recurrent_scan`.

    Examples:
        >>> gru, x = torch.nn.GRU(8, 16, batch_first=True), torch.randn(4, 10, 8)
        >>> outputs, h_last = recops.recurrent_layer(x, *gru.all_weights[0])
        >>> torch.allclose(outputs, gru(x)[0], atol=1e-5), h_last.shape
        (True, torch.Size([4, 16]))
    """
    op = "recurrent_layer"
    check_tensor(op, "x", x, ndim=3, dtypes=FLOATS)
    check_flag(op, "checkpoint", checkpoint)
    reset_, update_ = resolve(op, cell, reset, update, convention, attention)
    hidden = hidden_size(op, w_hh)
    (rows, steps, inputs), device, dtype = x.shape, x.device, compute_dtype(x.dtype)
    required = {"w_hh": (w_hh, (3 * hidden, hidden)), "w_ih": (w_ih, (3 * hidden, inputs))}
    optional = {
        "b_hh": (b_hh, (3 * hidden,)),
        "b_ih": (b_ih, (3 * hidden,)),
        "h0": (h0, (rows, hidden)),
        "attention": (attention, (rows, steps)),
    }
    check_shapes(op, device, required, optional)
    check_indices(op, device, "lengths", lengths, rows)
    outputs, h_last, _ = ops.recurrent_layer(
        x,
        w_ih.to(dtype),
        w_hh.to(dtype),
        to_dtype(b_ih, dtype),
        to_dtype(b_hh, dtype),
        to_dtype(h0, dtype),
        to_dtype(attention, dtype),
        to_dtype(lengths, torch.int64),
        cell,
        reset_,
        update_,
        values_to_keep(checkpoint, x, w_ih, w_hh, b_ih, b_hh, h0, attention),
    )
    return outputs, h_last


def _fake_layer(
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    cell: str,
    reset: str,
    update: str,
    keep: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return fake_scan(x, x.shape[0], w_hh, reset, keep)


def _fake_backward(
    grad_outputs: Tensor | None,
    grad_h_last: Tensor | None,
    outputs: Tensor,
    saved: Tensor,
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    cell: str,
    reset: str,
    update: str,
) -> tuple[Tensor, ...]:
    return (
        w_hh.new_empty(x.shape),
        w_hh.new_empty(w_ih.shape),
        w_hh.new_empty(w_hh.shape),
        w_hh.new_empty(w_hh.shape[0]),
        w_hh.new_empty(w_hh.shape[0]),
        w_hh.new_empty((x.shape[0], w_hh.shape[1])),
        w_hh.new_empty(0 if attention is None else attention.shape),
    )


def _grad(
    ctx: Any, grad_outputs: Tensor | None, grad_h_last: Tensor | None, grad_kept: None
) -> tuple[Tensor | None, ...]:
    if grad_outputs is None and grad_h_last is None:
        return (None,) * 12
    outputs, saved, x, w_ih, w_hh, b_ih, b_hh, h0, attention, lengths = ctx.saved_tensors
    grad_x, grad_w_ih, grad_w_hh, *grads = ops.recurrent_layer_backward(
        grad_outputs,
        grad_h_last,
        outputs,
        saved,
        x,
        w_ih,
        w_hh,
        b_ih,
        b_hh,
        h0,
        attention,
        lengths,
        ctx.cell,
        ctx.reset,
        ctx.update,
    )
    optional = (b_ih, b_hh, h0, attention)
    optional_grads = (
        None if tensor is None else grad for tensor, grad in zip(optional, grads, strict=True)
    )
    return grad_x.to(x.dtype), grad_w_ih, grad_w_hh, *optional_grads, *(None,) * 5


torch.library.register_fake("recops::recurrent_layer", _fake_layer)
torch.library.register_fake("recops::recurrent_layer_backward", _fake_backward)
register_autograd("recurrent_layer", _grad, save_scan)
refuse_derivative("recurrent_layer_backward", "recurrent scans have")
autocast_to_float32("recurrent_layer")
