"""Streaming updates of the MIMN states of a pool of users."""

from __future__ import annotations

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
from recops.ops.memory._mimn import Utilization, check_options, check_state, op_tensors
from recops.state._memory import check_kind
from recops.state.mimn import MimnParams, MimnState

__all__ = ["mimn_step_"]


def mimn_step_(
    pool: MimnState,
    rows: Tensor,
    x: Tensor,
    params: MimnParams,
    *,
    utilization: Utilization,
    induction_topk: int = 1,
) -> None:
    """Apply events to the rows of a pool of users in place, as :func:`mimn_scan` does.

    Several events of one row are applied in the given order. The states are bit-identical to those
    of a scan, for any split of events into calls and any order of users. A call that raises changes
    nothing. Not differentiable: autograd raises if a graph needs the old values of the pool.

    Args:
        pool: contiguous, float32 (float64 for float64 x).
        rows: ``[E]`` int32 or int64, the row of each event.
        x: ``[E, D]`` finite.
        params: as in :func:`mimn_scan`.
        utilization: as in :func:`mimn_scan`.
        induction_topk: as in :func:`mimn_scan`.

    Raises:
        TypeError: a tensor has an unsupported dtype, or the pool's dtype does not match x.
        ValueError: shapes, sizes or devices do not match, or x contains NaN or infinity.
        IndexError: a row is outside the pool.

    On CUDA tensors a kernel runs for float32, bfloat16 and float16 inputs up to D = H = 128 and 32
    slots, and a composite otherwise. The kernel cannot raise errors in data: events of rows outside
    the pool have no effect, and NaN or infinity in x spreads to the row's state.
    :func:`recops.debug` raises instead. The call can be captured in a CUDA graph.

    Each event costs one step of the scan. Each row with events is read and written once.

    Source: that of :func:`mimn_scan`: the user interest center.

    Examples:
        >>> params = recops.MimnParams.random(input_size=32, hidden_size=32, num_slots=8)
        >>> pool = recops.MimnState.zeros(params, 1000)
        >>> rows = torch.tensor([7, 912, 7])
        >>> recops.mimn_step_(pool, rows, torch.randn(3, 32), params, utilization="code")
        >>> pool.count[7]
        tensor(2)
    """
    op = "mimn_step_"
    check_kind(op, "params", params, MimnParams)
    check_input(op, "x", x, 2, params.input_size)
    check_options(op, utilization, induction_topk)
    check_state(op, "pool", pool, params, x)
    check_pool(op, pool.memory, x)
    check_index(op, "rows", rows, x.shape[0], x)
    check_contiguous(op, *pool.floats(), pool.count)
    check_events_in_debug(op, rows, x, pool.num_rows)
    ops.mimn_step_(
        pool.floats(),
        pool.count,
        rows.long(),
        x.detach(),
        *op_tensors(params, pool.memory.dtype).detached(),
        utilization,
        induction_topk,
    )
    mark_changed(*pool.floats(), pool.count)


torch.library.register_fake("recops::mimn_step_", lambda *_: None)
