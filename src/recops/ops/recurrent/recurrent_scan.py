"""Gated recurrent scans over precomputed gates."""

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

__all__ = ["recurrent_scan"]


def recurrent_scan(
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Tensor | None = None,
    h0: Tensor | None = None,
    *,
    attention: Tensor | None = None,
    lengths: Tensor | None = None,
    gates_index: Tensor | None = None,
    cell: Cell = "gru",
    reset: Reset = "after",
    update: Update = "paper",
    convention: Convention | None = None,
    checkpoint: bool = False,
) -> tuple[Tensor, Tensor]:
    """Run a GRU, AGRU or AUGRU over the steps of every row.

    With r, z, n in the gate order of ``torch.nn.GRU``, z the weight of the *old* state, a the
    attention of a step and ``gates = x @ W_ih.T + b_ih``::

        r = σ(g_r + W_r h + b_r),  z = σ(g_z + W_z h + b_z)
        n = tanh(g_n + r·(W_n h + b_n))     reset "after"
        n = tanh(g_n + W_n (r·h) + b_n)     reset "before"

        gru    h' = z·h + (1−z)·n
        agru   h' = (1−a)·h + a·n
        augru  h' = (1 − a·(1−z))·h + a·(1−z)·n                update "paper"
        augru  h' = z'·h + (1−z')·n  with z' = (1−a)·z          update "or"

    The sources use these forms:

    - reset "after": the paper, ``nn.GRU``, every torch port of DIEN, oneDNN's ``lbr_augru``;
    - reset "before": TensorFlow's GRUCell and thus DIEN's released code, Monolith, oneDNN's
      ``augru``, OpenVINO;
    - update "paper": DIEN's equations, DeepCTR-Torch, FuxiCTR, RecBole. A behaviour changes the
      state only if attention *and* gate admit it. At a = 0 the state is unchanged, and at a = 1
      the update is that of a GRU;
    - update "or": DIEN's released code, oneDNN, OpenVINO, Monolith. A behaviour changes the state
      if attention *or* gate admits it. At a = 0 the update is that of a GRU, and at a = 1 the
      state is overwritten.

    With the same weights the two updates are different models. AIGRU is "gru" on
    ``linear(a·x, W_ih, b_ih)``.

    Past ``lengths`` the state is unchanged and outputs are zero. Padding costs no work and changes
    no bit of other results. A scan may be split into pieces, with the ``h_last`` of a piece as the
    ``h0`` of the next; the results are bit-identical to those of one scan. Results and gradients
    are bit-identical at any thread count. Subnormal numbers count as zero, in any mode of the
    caller's threads. Differentiable once in every floating argument.

    Args:
        gates: ``[B, T, 3H]`` float32, bfloat16, float16 or float64, any strides.
        w_hh: ``[3H, H]`` floating. This and all following floating arguments are converted to
            float32 (float64 for float64 gates).
        b_hh: ``[3H]``, or None for zeros.
        h0: ``[B, H]``, ``[C, H]`` with ``gates_index``; None for zeros.
        attention: ``[B, T]``, ``[C, T]`` with ``gates_index``; only for "agru" and "augru".
        lengths: ``[B]`` int32 or int64 from 0 to T; None if all are T.
        gates_index: ``[C]`` int32 or int64, the row of ``gates`` that each of C candidates reads.
            One user's gates and length then serve many candidates, and the outputs have C rows.
        cell: "gru", "agru" or "augru".
        reset: position of the reset gate, "after" or "before" the product with W_n.
        update: how attention enters an AUGRU, "paper" or "or".
        convention: "torch" for reset "after" and update "paper", "tf" for "before" and "or". It
            overrides ``reset`` and ``update``.
        checkpoint: keep only states for the backward pass, H values per step, and recompute the
            gates; this costs half a forward pass more. Otherwise r, z, n and W_n h + b_n are kept
            too, 4H values per step (3H for reset "before"). 16-bit gates are always recomputed.

    Returns:
        ``outputs [B, T, H]`` of the dtype of ``gates`` and ``h_last [B, H]`` float32 (float64 for
        float64). States are carried in that dtype, and outputs are rounded from them.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes do not match, a length is out of range, attention is missing or
            unexpected, or a name is unknown.
        IndexError: an entry of ``gates_index`` is not a row of ``gates``.
        NotImplementedError: a second derivative is computed.

    On CUDA tensors a kernel runs for float32, bfloat16 and float16 gates up to H = 256, and a
    composite otherwise. The kernel cannot raise errors in data: a length or an entry of
    ``gates_index`` out of range makes the row's results and gradients NaN. The scan and its
    gradients can be captured in a CUDA graph.

    Time is O(cells · H²) with cells the sum of lengths. Extra memory is O(H²) per thread, plus at
    most 32 sums of weight gradients. The gradients on CUDA need H values per step of a row more,
    and 4H with ``gates_index``.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; Zhou et
    al., "Deep interest evolution network for click-through rate prediction", AAAI 2019, equations
    2-5 and 13-17.

    Examples:
        >>> gates, w_hh, h0 = torch.zeros(1, 3, 3), torch.zeros(3, 1), torch.ones(1, 1)
        >>> outputs, h_last = recops.recurrent_scan(gates, w_hh, h0=h0, lengths=torch.tensor([2]))
        >>> outputs.flatten(), h_last
        (tensor([0.5000, 0.2500, 0.0000]), tensor([[0.2500]]))
    """
    op = "recurrent_scan"
    check_tensor(op, "gates", gates, ndim=3, dtypes=FLOATS)
    check_flag(op, "checkpoint", checkpoint)
    reset_, update_ = resolve(op, cell, reset, update, convention, attention)
    hidden = hidden_size(op, w_hh)
    (users, steps, width), device, dtype = gates.shape, gates.device, compute_dtype(gates.dtype)
    if width != 3 * hidden:
        raise ValueError(f"{op}: gates must be {3 * hidden} wide, got shape {tuple(gates.shape)}")
    check_indices(op, device, "lengths", lengths, users)
    check_indices(op, device, "gates_index", gates_index)
    rows = users if gates_index is None else gates_index.shape[0]
    optional = {
        "b_hh": (b_hh, (3 * hidden,)),
        "h0": (h0, (rows, hidden)),
        "attention": (attention, (rows, steps)),
    }
    check_shapes(op, device, {"w_hh": (w_hh, (3 * hidden, hidden))}, optional)
    outputs, h_last, _ = ops.recurrent_scan(
        gates,
        w_hh.to(dtype),
        to_dtype(b_hh, dtype),
        to_dtype(h0, dtype),
        to_dtype(attention, dtype),
        to_dtype(lengths, torch.int64),
        to_dtype(gates_index, torch.int64),
        cell,
        reset_,
        update_,
        values_to_keep(checkpoint, gates, w_hh, b_hh, h0, attention),
    )
    return outputs, h_last


def _fake_scan(
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    gates_index: Tensor | None,
    cell: str,
    reset: str,
    update: str,
    keep: str,
) -> tuple[Tensor, Tensor, Tensor]:
    rows = gates.shape[0] if gates_index is None else gates_index.shape[0]
    return fake_scan(gates, rows, w_hh, reset, keep)


def _fake_backward(
    grad_outputs: Tensor | None,
    grad_h_last: Tensor | None,
    outputs: Tensor,
    saved: Tensor,
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    gates_index: Tensor | None,
    cell: str,
    reset: str,
    update: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return (
        w_hh.new_empty(gates.shape),
        w_hh.new_empty(w_hh.shape),
        w_hh.new_empty(w_hh.shape[0]),
        w_hh.new_empty((outputs.shape[0], w_hh.shape[1])),
        w_hh.new_empty(0 if attention is None else attention.shape),
    )


def _grad(
    ctx: Any, grad_outputs: Tensor | None, grad_h_last: Tensor | None, grad_kept: None
) -> tuple[Tensor | None, ...]:
    if grad_outputs is None and grad_h_last is None:
        return (None,) * 11
    outputs, saved, gates, w_hh, b_hh, h0, attention, lengths, gates_index = ctx.saved_tensors
    grad_gates, grad_w_hh, grad_b_hh, grad_h0, grad_attention = ops.recurrent_scan_backward(
        grad_outputs,
        grad_h_last,
        outputs,
        saved,
        gates,
        w_hh,
        b_hh,
        h0,
        attention,
        lengths,
        gates_index,
        ctx.cell,
        ctx.reset,
        ctx.update,
    )
    return (
        grad_gates.to(gates.dtype),
        grad_w_hh,
        None if b_hh is None else grad_b_hh,
        None if h0 is None else grad_h0,
        None if attention is None else grad_attention,
        *(None,) * 6,
    )


torch.library.register_fake("recops::recurrent_scan", _fake_scan)
torch.library.register_fake("recops::recurrent_scan_backward", _fake_backward)
register_autograd("recurrent_scan", _grad, save_scan)
refuse_derivative("recurrent_scan_backward", "recurrent scans have")
autocast_to_float32("recurrent_scan")
