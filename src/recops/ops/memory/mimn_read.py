"""Reading of a user's MIMN memory by candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._data_errors import raise_data_errors
from recops.ops.memory._checks import check_index, check_input, check_pool, rows_of_pool
from recops.ops.memory._mimn import Utilization, check_options, check_state, op_tensors
from recops.state._memory import check_kind
from recops.state.mimn import MimnParams, MimnState

__all__ = ["mimn_read"]


def mimn_read(
    pool: MimnState,
    rows: Tensor,
    target: Tensor,
    params: MimnParams,
    *,
    utilization: Utilization,
    induction_topk: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Read users' memories: one step of :func:`mimn_scan` with the candidate as input.

    The pool is not changed. Differentiable once in pool, target and parameters.

    Args:
        pool: the users' states.
        rows: ``[C]`` int32 or int64, the row that each candidate reads; candidates may share one.
        target: ``[C, D]`` float32, bfloat16, float16 or float64.
        params: as in :func:`mimn_scan`.
        utilization: as in :func:`mimn_scan`; use the value of training, as the released code does.
        induction_topk: as in :func:`mimn_scan`.

    Returns:
        ``out [C, H]`` of target's dtype, ``read_weights [C, m]`` and ``channels [C, m, D]`` of the
        pool's.

    Raises:
        TypeError: a tensor has an unsupported dtype, or the pool's dtype does not match target.
        ValueError: shapes, sizes or devices do not match.
        IndexError: a row is outside the pool.

    On CUDA tensors a kernel runs for float32, bfloat16 and float16 targets up to D = H = 128 and 32
    slots, and a composite otherwise. The kernel cannot raise errors in data: a row outside the pool
    makes the candidate's results NaN, and raises in :func:`recops.debug`. The call can be captured
    in a CUDA graph.

    Each candidate costs one step of the scan, independent of the length of the history.

    Source: that of :func:`mimn_scan`.

    Examples:
        >>> params = recops.MimnParams.random(input_size=32, hidden_size=32, num_slots=8)
        >>> pool = recops.MimnState.zeros(params, 1000)
        >>> rows, target = torch.tensor([7, 7, 912]), torch.randn(3, 32)
        >>> out, weights, channels = recops.mimn_read(
        ...     pool, rows, target, params, utilization="code"
        ... )
        >>> out.shape, weights.shape, channels.shape
        (torch.Size([3, 32]), torch.Size([3, 8]), torch.Size([3, 8, 32]))
    """
    op = "mimn_read"
    check_kind(op, "params", params, MimnParams)
    check_input(op, "target", target, 2, params.input_size)
    check_options(op, utilization, induction_topk)
    check_state(op, "pool", pool, params, target)
    check_pool(op, pool.memory, target)
    check_index(op, "rows", rows, target.shape[0], target)
    state, tensors = pool.floats(), op_tensors(params, pool.memory.dtype)
    differentiated = [target, *state, *tensors.all()]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in differentiated):
        index = rows_of_pool(op, rows, pool.num_rows)
        # index_select adds the gradients of candidates that read the same row.
        selected = [tensor.index_select(0, index) for tensor in state]
        results = ops.mimn_scan(
            target[:, None], selected, *tensors, None, utilization, induction_topk, 1
        )
        return results[0][:, 0], results[8], results[6]
    arguments = (state, rows.long(), target, *tensors, utilization, induction_topk)
    out, weights, channels = ops.mimn_read(*arguments)
    raise_data_errors(op, arguments, out)
    return out, weights, channels


def _fake_read(
    state: list[Tensor],
    rows: Tensor,
    target: Tensor,
    params: list[Tensor],
    *_: object,
) -> tuple[Tensor, Tensor, Tensor]:
    (count, d), h, m = target.shape, params[1].shape[1], params[5].shape[0]
    memory = state[2]
    return (
        target.new_empty((count, h)),
        memory.new_empty((count, m)),
        memory.new_empty((count, m, d)),
    )


torch.library.register_fake("recops::mimn_read", _fake_read)
autocast_to_float32("mimn_read")
