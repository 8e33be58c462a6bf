"""Scan of a multi-channel user interest memory network (MIMN) over histories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._autograd import refuse_derivative, register_autograd
from recops.ops._data_errors import raise_data_errors
from recops.ops.memory._checks import (
    check_index,
    check_input,
    interval,
    num_checkpoints,
)
from recops.ops.memory._mimn import Utilization, check_options, check_state, op_tensors
from recops.state._memory import check_kind
from recops.state.mimn import MimnParams, MimnState

__all__ = ["mimn_scan"]


def mimn_scan(
    x: Tensor,
    params: MimnParams,
    state: MimnState | None = None,
    *,
    lengths: Tensor | None = None,
    utilization: Utilization = "none",
    induction_topk: int = 1,
    checkpoint: int | None = None,
) -> tuple[Tensor, MimnState]:
    """Run a MIMN over histories: each event reads and writes a memory of m slots per user.

    Slots are addressed by content. All GRUs apply the reset before the product and z to the old
    state. With M the memory before the event, one step is::

        hidden' = GRU([x, read], hidden)
        p = clip(head_w · [hidden'; usage / usage_scale] + head_b, ±20)       usage: no gradient
        w = softmax_j(β · ½ [cos(k, key_memory_j) + cos(k, M_j)])             for read and for write
            k = tanh(p_key),  β = 2 (softplus(p_beta) + 1); without key_memory β · cos(k, M_j)
        read' = Σ w_r M
        channel_i' = GRU([x, M_i], channel_i)   for slots i with the largest w_r; M_i: no gradient
        e = σ(p_erase),  a = tanh(p_add)
        M' = M ∘ (1 − w_w eᵀ) + w_w aᵀ
        added' = added + mean(w_w) · a,  pooled' = pooled + x                   w_w: no gradient
        out = clip(out_w · [hidden'; read'] + out_b, ±20)

    ``utilization`` selects how writes are spread over the slots:

    - "none": w_w = w and usage' = usage + w_w; the head does not see usage;
    - "paper": w_w = w ∘ softmax(usage_w · usage), not normalized again; usage' = usage + w_w;
    - "code": w is convolved on the circle of slots with softmax(p_shift) over the offsets 0, +1 and
      −1, raised to the power γ = 4 (softplus(p_gamma) + 1) and normalized, all in logarithms;
      usage' = usage + w_w, and the gradient of usage does not reach the content weights.

    "code" has the write weights of the released code, with which the results were published. That
    code adds w_w to usage after a second shift and sharpening, which is not reproduced here.
    "paper" follows the text of the paper; only the usage input of the head comes from the code.

    Padding changes no bit. Streaming by :func:`mimn_step_`, in any split, is bit-identical to this
    scan, at any thread count. Subnormal numbers count as zero, in any mode of the caller's threads.
    Differentiable once in x, state and parameters.

    Args:
        x: ``[B, T, D]`` float32, bfloat16, float16 or float64, any strides.
        params: tensors of any floating dtype, converted to float32 (float64 for float64 x).
        state: initial state of B rows; None for :meth:`MimnState.zeros`.
        lengths: ``[B]`` int32 or int64 from 0 to T; None if all are T.
        utilization: "none", "paper" or "code".
        induction_topk: number of channels that an event updates, those of the slots with the
            largest read weights; ties go to the lowest slot. 0 updates no channel, and at most m
            are updated.
        checkpoint: steps between the states that are kept for the backward pass, which recomputes
            the steps in between; None chooses about √T.

    Returns:
        ``outputs [B, T, H]`` of x's dtype, zero past the lengths, and the last state, float32
        (float64 for float64).

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes, sizes or devices do not match, a length is out of range, the utilization
            is unknown, or ``induction_topk`` is negative.
        NotImplementedError: a second derivative is computed.

    On CUDA tensors a kernel runs for float32, bfloat16 and float16 inputs up to D = H = 128 and 32
    slots, and a composite otherwise. The kernel cannot raise errors in data: a length out of range
    makes the row's results and gradients NaN, adds nothing to gradients of parameters, and raises
    in :func:`recops.debug`. The scan and its gradients can be captured in a CUDA graph.

    A step costs O(H (D + H) + m D + topk · D²) multiplications per row. ``T / checkpoint`` states
    are kept for the backward pass.

    Source: Pi et al., "Practice on long sequential user behavior modeling for click-through rate
    prediction", KDD 2019, equations 1-9, and its released code.

    Examples:
        >>> params = recops.MimnParams.random(input_size=32, hidden_size=32, num_slots=8)
        >>> outputs, state = recops.mimn_scan(torch.randn(4, 100, 32), params, utilization="code")
        >>> outputs.shape, state.memory.shape
        (torch.Size([4, 100, 32]), torch.Size([4, 8, 32]))
    """
    op = "mimn_scan"
    check_kind(op, "params", params, MimnParams)
    check_input(op, "x", x, 3, params.input_size)
    check_options(op, utilization, induction_topk)
    rows, steps, _ = x.shape
    dtype = compute_dtype(x.dtype)
    state = MimnState.zeros(params, rows) if state is None else state
    check_state(op, "state", state, params, x)
    if state.num_rows != rows:
        raise ValueError(f"{op}: state must have {rows} rows, got {state.num_rows}")
    if lengths is not None:
        check_index(op, "lengths", lengths, rows, x)
        lengths = lengths.long()
    floats = [tensor.to(dtype) for tensor in state.floats()]
    tensors = op_tensors(params, dtype)
    every = interval(op, checkpoint, steps, [x, *floats, *tensors.all()])
    arguments = (x, floats, *tensors, lengths, utilization, induction_topk, every)
    outputs, hidden, read, memory, usage, added, channels, pooled, _, _ = ops.mimn_scan(*arguments)
    raise_data_errors(op, arguments, hidden)
    count = state.count + (steps if lengths is None else lengths)
    return outputs, MimnState(hidden, read, memory, usage, added, channels, pooled, count)


def _fake_scan(
    x: Tensor,
    state: list[Tensor],
    params: list[Tensor],
    key_memory: Tensor | None,
    usage_scale: float,
    lengths: Tensor | None,
    utilization: str,
    induction_topk: int,
    checkpoint: int,
) -> tuple[Tensor, ...]:
    (rows, steps, d), h, m = x.shape, params[1].shape[1], params[5].shape[0]
    saved = (num_checkpoints(steps, checkpoint), rows, h + d + 2 * m * d + m)
    return (
        x.new_empty((rows, steps, h)),
        *(torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in state),
        state[0].new_empty((rows, m)),
        state[0].new_empty(saved),
    )


def _fake_backward(
    grad_outputs: Tensor,
    grad_state: list[Tensor],
    grad_read_weights: Tensor,
    x: Tensor,
    state: list[Tensor],
    params: list[Tensor],
    key_memory: Tensor | None,
    *_: Any,
) -> list[Tensor]:
    like = [x, *state[:4], state[5], *params]
    if key_memory is not None:
        like.append(key_memory)
    return [state[0].new_empty(tensor.shape) for tensor in like]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, state, params, key_memory, ctx.usage_scale, lengths, *ctx.options = inputs
    ctx.num_params = len(params)
    ctx.save_for_backward(x, key_memory, lengths, output[-1], *state, *params)
    ctx.set_materialize_grads(False)


def _grad(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
    x, key_memory, lengths, saved, *state_and_params = ctx.saved_tensors
    utilization, induction_topk, checkpoint = ctx.options
    state, params = state_and_params[: -ctx.num_params], state_and_params[-ctx.num_params :]
    grad_outputs, *grad_state, grad_weights, _ = grads
    rows, h, m = x.shape[0], params[1].shape[1], params[5].shape[0]
    if grad_outputs is None:
        grad_outputs = x.new_zeros((rows, x.shape[1], h))
    if grad_weights is None:
        grad_weights = state[0].new_zeros((rows, m))
    state_grads = [
        torch.zeros_like(tensor) if grad is None else grad
        for tensor, grad in zip(state, grad_state, strict=True)
    ]
    grad_x, hidden, read, memory, usage, channels, *param_grads = ops.mimn_scan_backward(
        grad_outputs,
        state_grads,
        grad_weights,
        x,
        state,
        params,
        key_memory,
        ctx.usage_scale,
        lengths,
        utilization,
        induction_topk,
        checkpoint,
        saved,
    )
    added, pooled = state_grads[4], state_grads[6]
    return (
        grad_x.to(x.dtype),
        [hidden, read, memory, usage, added, channels, pooled],
        param_grads[: ctx.num_params],
        None if key_memory is None else param_grads[-1],
        *(None,) * 5,
    )


torch.library.register_fake("recops::mimn_scan", _fake_scan)
torch.library.register_fake("recops::mimn_scan_backward", _fake_backward)
register_autograd("mimn_scan", _grad, _save)
refuse_derivative("mimn_scan_backward", "memory networks have")
autocast_to_float32("mimn_scan")
