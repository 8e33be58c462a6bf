"""Streaming updates of the HPMN memories of a pool of users."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops._load import ops
from recops.ops.memory._checks import (
    check_contiguous,
    check_events_in_debug,
    check_index,
    check_input,
    check_pool,
    mark_changed,
)
from recops.ops.memory._hpmn import check_periods, check_state
from recops.state._memory import check_kind
from recops.state.hpmn import HpmnParams, HpmnState

__all__ = ["hpmn_step_"]


def hpmn_step_(
    pool: HpmnState, rows: Tensor, x: Tensor, params: HpmnParams, *, periods: Sequence[int]
) -> None:
    """Apply events to the rows of a pool of users in place, as :func:`hpmn_scan` does.

    Several events of one row are applied in the given order. The states are bit-identical to those
    of a scan, for any split of events into calls and any order of users. A call that raises changes
    nothing. Not differentiable: autograd raises if a graph needs the old values of the pool.

    Args:
        pool: contiguous, float32 (float64 for float64 x).
        rows: ``[E]`` int32 or int64, the row of each event.
        x: ``[E, I]`` finite.
        params: as in :func:`hpmn_scan`.
        periods: as in :func:`hpmn_scan`.

    Raises:
        TypeError: a tensor has an unsupported dtype, or the pool's dtype does not match x.
        ValueError: shapes, sizes or devices do not match, a period does not divide the next, x
            contains NaN or infinity, or a count is negative.
        IndexError: a row is outside the pool.

    On CUDA tensors a kernel runs for float32, bfloat16 and float16 inputs up to I = H = 128 and 16
    slots, and a composite otherwise. The kernel cannot raise errors in data: events of rows outside
    the pool, or of rows with a negative count, have no effect or make the row NaN, and NaN or
    infinity in x spreads to the row's memory. :func:`recops.debug` raises instead. The call can be
    captured in a CUDA graph.

    Each event costs one event of the scan. Each row with events is read and written once.

    Source: that of :func:`hpmn_scan`.

    Examples:
        >>> params = recops.HpmnParams.random(input_size=48, hidden_size=32, num_slots=4)
        >>> pool = recops.HpmnState.zeros(params, 1000)
        >>> rows = torch.tensor([7, 912, 7])
        >>> recops.hpmn_step_(pool, rows, torch.randn(3, 48), params, periods=[1, 2, 4, 8])
        >>> pool.count[7]
        tensor(2)
    """
    op = "hpmn_step_"
    check_kind(op, "params", params, HpmnParams)
    check_input(op, "x", x, 2, params.input_size)
    divided = check_periods(op, periods, params.num_slots)
    check_state(op, "pool", pool, params, x)
    check_pool(op, pool.memory, x)
    check_index(op, "rows", rows, x.shape[0], x)
    check_contiguous(op, pool.memory, pool.count)
    check_events_in_debug(op, rows, x, pool.num_rows)
    dtype = pool.memory.dtype
    w_ih = [tensor.detach().to(dtype) for tensor in params.w_ih]
    w_hh, bias = params.w_hh.detach().to(dtype), params.bias.detach().to(dtype)
    ops.hpmn_step_(pool.memory, pool.count, rows.long(), x.detach(), w_ih, w_hh, bias, divided)
    mark_changed(pool.memory, pool.count)


torch.library.register_fake("recops::hpmn_step_", lambda *_: None)
