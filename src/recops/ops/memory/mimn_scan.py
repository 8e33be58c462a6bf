"""The scan of a multi-channel user interest memory network over histories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops._autograd import refuse_derivative, register_autograd
from recops.ops.memory._checks import (
    check_index,
    check_input,
    interval,
    num_checkpoints,
)
from recops.ops.memory._mimn import Utilization, check_options, check_state, tensors_of
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
    """A memory of m slots a user, addressed by content, read and written at every event.

    A step, with M the memory before it and all GRUs with the reset before the product and z on the
    old state::

        hidden' = GRU([x, read], hidden)
        p = clip(head_w · [hidden'; usage / usage_scale] + head_b, ±20)       usage is not derived
        w = softmax_j(β · ½ [cos(k, key_memory_j) + cos(k, M_j)])             to read, and to write
            k = tanh(p_key),  β = 2 (softplus(p_beta) + 1); without key_memory β · cos(k, M_j)
        read' = Σ w_r M
        channel_i' = GRU([x, M_i], channel_i)            for the slots of the largest w_r; M_i fixed
        e = σ(p_erase),  a = tanh(p_add)
        M' = M ∘ (1 − w_w eᵀ) + w_w aᵀ
        added' = added + mean(w_w) · a,  pooled' = pooled + x                         w_w is fixed
        out = clip(out_w · [hidden'; read'] + out_b, ±20)

    How writes are spread over slots, ``utilization``:

    - "none": w_w = w, usage' = usage + w_w; the head sees no usage;
    - "paper": w_w = w ∘ softmax(usage_w · usage), not normalized again; usage' = usage + w_w;
    - "code": w moved to neighbours by softmax(p_shift) over the offsets 0, +1, −1 around the circle
      of slots, then to the power γ = 4 (softplus(p_gamma) + 1) and normalized, in logarithms;
      usage' = usage + w_w, the derivative of which leaves the content weights alone.

    The weights of writes are the released code's under "code", with which its results were
    published; usage there adds w_w moved and sharpened a second time (confirmed), which is not
    reproduced. Its paper's text is "paper", but for the usage that the head sees, which the code
    alone tells of. Padding changes no bit, and streaming by
    :func:`mimn_step_` in any split gives the bits of this scan, at any number of threads.
    Subnormal numbers count as zero, in any mode of the caller's threads.
    Differentiable once, in x, state and parameters.

    Args:
        x: ``[B, T, D]`` float32, bfloat16, float16 or float64, any strides.
        params: of any floating dtype, computed with in float32 (float64 beside float64 x).
        state: of B rows, to go on from; None for :meth:`MimnState.zeros`.
        lengths: ``[B]`` int32 or int64 from 0 to T; None where all are T.
        utilization: how writes are spread.
        induction_topk: how many channels an event moves, those of the most read slots, of equal
            weights the lowest; 0 for none, at most m count.
        checkpoint: steps between the states that are kept for the backward pass, which takes the
            steps between again; None picks about √T.

    Returns:
        ``outputs [B, T, H]`` of x's dtype, zero past the lengths, and the last state, float32
        (float64 for float64).

    Raises:
        TypeError: a tensor of another dtype.
        ValueError: shapes, sizes or devices that do not fit, a length out of range, an unknown
            utilization, a negative ``induction_topk``.
        NotImplementedError: from the gradient of a gradient.

    A step costs O(H (D + H) + m D + topk · D²) multiplications a row; kept are
    ``T / checkpoint`` states.

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
    if x.device.type not in ("cpu", "meta"):
        from recops.reference.memory import mimn_scan as composite

        return composite(
            x,
            params,
            state,
            lengths=lengths,
            utilization=utilization,
            induction_topk=induction_topk,
        )
    floats = [tensor.to(dtype) for tensor in state.floats()]
    tensors = tensors_of(params, dtype)
    outputs, hidden, read, memory, usage, added, channels, pooled, _, _ = ops.mimn_scan(
        x,
        floats,
        *tensors,
        lengths,
        utilization,
        induction_topk,
        interval(op, checkpoint, steps, [x, *floats, *tensors.all()]),
    )
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
    kept = (num_checkpoints(steps, checkpoint), rows, h + d + 2 * m * d + m)
    return (
        x.new_empty((rows, steps, h)),
        *(torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in state),
        state[0].new_empty((rows, m)),
        state[0].new_empty(kept),
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
    x, key_memory, lengths, kept, *rest = ctx.saved_tensors
    utilization, induction_topk, checkpoint = ctx.options
    state, params = rest[: -ctx.num_params], rest[-ctx.num_params :]
    grad_outputs, *grad_state, grad_weights, _ = grads
    rows, h, m = x.shape[0], params[1].shape[1], params[5].shape[0]
    if grad_outputs is None:
        grad_outputs = x.new_zeros((rows, x.shape[1], h))
    if grad_weights is None:
        grad_weights = state[0].new_zeros((rows, m))
    of_state = [
        torch.zeros_like(tensor) if grad is None else grad
        for tensor, grad in zip(state, grad_state, strict=True)
    ]
    grad_x, hidden, read, memory, usage, channels, *of_params = ops.mimn_scan_backward(
        grad_outputs,
        of_state,
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
        kept,
    )
    added, pooled = of_state[4], of_state[6]
    return (
        grad_x.to(x.dtype),
        [hidden, read, memory, usage, added, channels, pooled],
        of_params[: ctx.num_params],
        None if key_memory is None else of_params[-1],
        *(None,) * 5,
    )


torch.library.register_fake("recops::mimn_scan", _fake_scan)
torch.library.register_fake("recops::mimn_scan_backward", _fake_backward)
register_autograd("mimn_scan", _grad, _save)
refuse_derivative("mimn_scan_backward", "memory networks have")
torch.library.register_autocast("recops::mimn_scan", "cpu", torch.float32)
