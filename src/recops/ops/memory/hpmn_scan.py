"""Scan of a hierarchical periodic memory network (HPMN) over histories."""

from __future__ import annotations

from collections.abc import Sequence
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
from recops.ops.memory._hpmn import check_periods, check_state
from recops.state._memory import check_kind
from recops.state.hpmn import HpmnParams, HpmnState

__all__ = ["hpmn_scan"]


def hpmn_scan(
    x: Tensor,
    params: HpmnParams,
    state: HpmnState | None = None,
    *,
    periods: Sequence[int],
    lengths: Tensor | None = None,
    checkpoint: int | None = None,
) -> tuple[Tensor, HpmnState]:
    """Run a stack of GRUs over histories, in which upper GRUs are updated at fewer events.

    The input of a GRU is the new state of the one below. At event number i of a row, counted from 1
    since the row's first event::

        below = x
        for j in slots:
            if i mod periods[j] ≠ 0: break
            m_j = below = GRU_j(below, m_j)

    GRUs apply the reset before the product and z to the old state. The counts of the state allow
    rows of a batch to be at different events. Padding changes no bit. Streaming by
    :func:`hpmn_step_`, in any split, is bit-identical to this scan, at any thread count.
    Subnormal numbers count as zero, in any mode of the caller's threads. Differentiable once in x,
    memory and parameters.

    Args:
        x: ``[B, T, I]`` float32, bfloat16, float16 or float64, any strides.
        params: tensors of any floating dtype, converted to float32 (float64 for float64 x).
        state: initial state of B rows; None for :meth:`HpmnState.zeros`.
        periods: one per slot; the first is 1, and each divides the next, such as 1, 2, 4, 8, 16.
        lengths: ``[B]`` int32 or int64 from 0 to T; None if all are T.
        checkpoint: steps between the states that are kept for the backward pass, which recomputes
            the steps in between; None chooses about √T.

    Returns:
        ``memory [B, m, H]``, float32 (float64 for float64), and the state that contains it.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes, sizes or devices do not match, a period does not divide the next, a
            length is out of range, or a count is negative.
        NotImplementedError: a second derivative is computed.

    On CUDA tensors a kernel runs for float32, bfloat16 and float16 inputs up to I = H = 128 and 16
    slots, and a composite otherwise. The kernel cannot raise errors in data: a length or count out
    of range makes the row's memory and gradients NaN, adds nothing to gradients of parameters, and
    raises in :func:`recops.debug`. The scan and its gradients can be captured in a CUDA graph.

    An event costs O(H (I + H)) multiplications for the lowest GRU and O(H²) for each other slot
    that is updated: less than two GRUs on average if periods double. ``T / checkpoint`` memories
    are kept for the backward pass.

    Source: Ren et al., "Lifelong sequential modeling with personalized memorization for user
    response prediction", SIGIR 2019, and its released code.

    Examples:
        >>> params = recops.HpmnParams.random(input_size=48, hidden_size=32, num_slots=4)
        >>> memory, state = recops.hpmn_scan(torch.randn(8, 300, 48), params, periods=[1, 2, 4, 12])
        >>> memory.shape, state.count[0]
        (torch.Size([8, 4, 32]), tensor(300))
    """
    op = "hpmn_scan"
    check_kind(op, "params", params, HpmnParams)
    check_input(op, "x", x, 3, params.input_size)
    divided = check_periods(op, periods, params.num_slots)
    rows, steps, _ = x.shape
    dtype = compute_dtype(x.dtype)
    state = HpmnState.zeros(params, rows) if state is None else state
    check_state(op, "state", state, params, x)
    if state.num_rows != rows:
        raise ValueError(f"{op}: state must have {rows} rows, got {state.num_rows}")
    if lengths is not None:
        check_index(op, "lengths", lengths, rows, x)
        lengths = lengths.long()
    start = state.memory.to(dtype)
    w_ih = [tensor.to(dtype) for tensor in params.w_ih]
    w_hh, bias = params.w_hh.to(dtype), params.bias.to(dtype)
    every = interval(op, checkpoint, steps, [x, start, *w_ih, w_hh, bias])
    arguments = (x, start, state.count, w_ih, w_hh, bias, divided, lengths, every)
    memory, _ = ops.hpmn_scan(*arguments)
    raise_data_errors(op, arguments, memory)
    count = state.count + (steps if lengths is None else lengths)
    return memory, HpmnState(memory, count)


def _fake_scan(
    x: Tensor,
    memory: Tensor,
    count: Tensor,
    w_ih: list[Tensor],
    w_hh: Tensor,
    bias: Tensor,
    periods: list[int],
    lengths: Tensor | None,
    checkpoint: int,
) -> tuple[Tensor, Tensor]:
    saved = (num_checkpoints(x.shape[1], checkpoint), *memory.shape)
    return memory.new_empty(memory.shape), memory.new_empty(saved)


def _fake_backward(
    grad_memory: Tensor,
    x: Tensor,
    memory: Tensor,
    count: Tensor,
    w_ih: list[Tensor],
    w_hh: Tensor,
    bias: Tensor,
    *_: Any,
) -> list[Tensor]:
    return [memory.new_empty(tensor.shape) for tensor in (x, memory, *w_ih, w_hh, bias)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, memory, count, w_ih, w_hh, bias, ctx.periods, lengths, ctx.checkpoint = inputs
    ctx.save_for_backward(x, memory, count, w_hh, bias, lengths, output[1], *w_ih)
    ctx.set_materialize_grads(False)


def _grad(ctx: Any, grad_memory: Tensor | None, _: None) -> tuple[Any, ...]:
    if grad_memory is None:
        return None, None, None, [None] * len(ctx.periods), *(None,) * 5
    x, memory, count, w_hh, bias, lengths, saved, *w_ih = ctx.saved_tensors
    grad_x, grad_start, *grad_w_ih, grad_w_hh, grad_bias = ops.hpmn_scan_backward(
        grad_memory,
        x,
        memory,
        count,
        w_ih,
        w_hh,
        bias,
        ctx.periods,
        lengths,
        ctx.checkpoint,
        saved,
    )
    return grad_x.to(x.dtype), grad_start, None, grad_w_ih, grad_w_hh, grad_bias, *(None,) * 3


torch.library.register_fake("recops::hpmn_scan", _fake_scan)
torch.library.register_fake("recops::hpmn_scan_backward", _fake_backward)
register_autograd("hpmn_scan", _grad, _save)
refuse_derivative("hpmn_scan_backward", "memory networks have")
autocast_to_float32("hpmn_scan")
