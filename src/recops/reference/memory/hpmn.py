"""Reference of HPMN, event by event; see :mod:`recops.ops.memory.hpmn_scan`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from recops._dtypes import widened, without_autocast
from recops.reference._padding import without_padding
from recops.reference.memory.primitives import gru
from recops.state.hpmn import HpmnParams, HpmnState


def hpmn_scan(
    x: Tensor,
    params: HpmnParams,
    state: HpmnState | None = None,
    *,
    periods: Sequence[int],
    lengths: Tensor | None = None,
    checkpoint: int | None = None,  # ignored: autograd keeps all intermediate values
) -> tuple[Tensor, HpmnState]:
    """Compute :func:`recops.hpmn_scan` in PyTorch."""
    rows, steps, _ = x.shape
    wide = widened(x)
    params = params.to(wide.dtype)
    state = HpmnState.zeros(params, rows) if state is None else state.to(wide.dtype)
    if lengths is None:
        lengths = torch.full((rows,), steps, device=x.device)
    wide = without_padding(wide, lengths)
    memory, count = state.memory, state.count
    for t in range(steps):
        live = t < lengths
        memory = _step(memory, count, wide[:, t], live, params, periods)
        count = count + live
    return memory, HpmnState(memory, count)


def hpmn_step_(
    pool: HpmnState, rows: Tensor, x: Tensor, params: HpmnParams, *, periods: Sequence[int]
) -> None:
    """Compute :func:`recops.hpmn_step_` in PyTorch."""
    params, wide = params.to(pool.memory.dtype), x.to(pool.memory.dtype)
    live = torch.ones(1, dtype=torch.bool, device=x.device)
    for row, event in zip(rows.tolist(), wide, strict=True):
        slots, count = pool.memory[row : row + 1], pool.count[row : row + 1]
        pool.memory[row] = _step(slots, count, event[None], live, params, periods)[0]
        pool.count[row] += 1


def hpmn_read(
    query: Tensor, pool: HpmnState, rows: Tensor, params: HpmnParams
) -> tuple[Tensor, Tensor]:
    """Compute :func:`recops.hpmn_read` in PyTorch."""
    p = params.to(pool.memory.dtype)
    slots = pool.memory[rows.long()]
    with without_autocast(slots):
        q = linear(query.to(slots.dtype), p.query_w, p.query_b)
        weights = []
        for hop in range(len(p.w1)):
            queries = q[:, None].expand_as(slots)
            f = torch.cat([queries, slots, queries - slots, queries * slots], 2)
            f = torch.relu(linear(f, p.w1[hop], p.b1[hop]))
            f = torch.relu(linear(f, p.w2[hop], p.b2[hop]))
            a = torch.softmax(f @ p.w3[hop] + p.b3[hop], 1)
            q = q @ p.hop_map + (a[:, :, None] * slots).sum(1)
            weights.append(a)
    return q.to(query.dtype), torch.stack(weights, 1)


def updated_memory(
    memory: Tensor,
    count: Tensor,
    x: Tensor,
    live: Tensor,
    w_ih: Sequence[Tensor],
    w_hh: Tensor,
    bias: Tensor,
    periods: Sequence[int],
) -> Tensor:
    """Return the memory after one event of every live row, updating slots from the lowest up."""
    slots, below = [], x
    for j, (old, period) in enumerate(zip(memory.unbind(1), periods, strict=True)):
        is_updated = live & ((count + 1) % period == 0)
        new = gru(below, old, w_ih[j], w_hh[j], bias[j])
        below = torch.where(is_updated[:, None], new, old)
        slots.append(below)
    return torch.stack(slots, 1)


def _step(
    memory: Tensor,
    count: Tensor,
    x: Tensor,
    live: Tensor,
    p: HpmnParams,
    periods: Sequence[int],
) -> Tensor:
    return updated_memory(memory, count, x, live, p.w_ih, p.w_hh, p.bias, periods)
