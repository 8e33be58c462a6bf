"""What a candidate reads of a user's memory, hop by hop."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from recops._dtypes import without_autocast
from recops.ops.memory._checks import check_index, check_input, check_pool, rows_of_pool
from recops.ops.memory._hpmn import check_state
from recops.state._memory import check_kind
from recops.state.hpmn import HpmnParams, HpmnState

__all__ = ["hpmn_read"]


def hpmn_read(
    query: Tensor, pool: HpmnState, rows: Tensor, params: HpmnParams
) -> tuple[Tensor, Tensor]:
    """Attention over the slots of a user's memory, in several hops.

    With one network of three layers a hop::

        q = query_w · query + query_b
        s_j = w3 · relu(w2 · relu(w1 · [q; m_j; q − m_j; q ∘ m_j] + b1) + b2) + b3
        a = softmax(s)
        q ← q · hop_map + Σ_j a_j m_j

    Dense products take almost all of the time, so this is made of torch's, and runs on any device.
    Differentiable in query, pool and parameters.

    Args:
        query: ``[C, I]`` float32, bfloat16, float16 or float64.
        pool: the users' memories.
        rows: ``[C]`` int32 or int64, the row that each candidate reads; candidates may share one.
        params: of any floating dtype, computed with in that of the pool.

    Returns:
        ``out [C, H]`` of query's dtype and ``weights [C, hops, m]`` of the pool's.

    Raises:
        TypeError: a tensor of another dtype, or a pool of another than query asks for.
        ValueError: shapes, sizes or devices that do not fit.
        IndexError: a row outside the pool.

    Costs O(hops · m · H) for each of 80 units a candidate, whatever the length of the history.

    Source: that of :func:`hpmn_scan`.

    Examples:
        >>> params = recops.HpmnParams.random(input_size=48, hidden_size=32, num_slots=4)
        >>> pool = recops.HpmnState.zeros(params, 1000)
        >>> out, weights = recops.hpmn_read(
        ...     torch.randn(3, 48), pool, torch.tensor([7, 7, 912]), params
        ... )
        >>> out.shape, weights.shape
        (torch.Size([3, 32]), torch.Size([3, 3, 4]))
    """
    op = "hpmn_read"
    check_kind(op, "params", params, HpmnParams)
    check_input(op, "query", query, 2, params.input_size)
    check_state(op, "pool", pool, params, query)
    check_pool(op, pool.memory, query)
    check_index(op, "rows", rows, query.shape[0], query)
    p, dtype = params.to(pool.memory.dtype), pool.memory.dtype
    slots = pool.memory.index_select(0, rows_of_pool(op, rows, pool.num_rows))
    with without_autocast(slots):
        q = linear(query.to(dtype), p.query_w, p.query_b)
        weights = []
        for w1, b1, w2, b2, w3, b3 in zip(p.w1, p.b1, p.w2, p.b2, p.w3, p.b3, strict=True):
            # w1 · [q; m; q − m; q ∘ m] without laying that out: what q adds is one product a
            # candidate.
            of_q, of_slot, of_difference, of_product = w1.chunk(4, 1)
            once = linear(q, of_q + of_difference, b1)
            each = linear(slots, of_slot - of_difference) + linear(q[:, None] * slots, of_product)
            score = torch.relu(linear(torch.relu(once[:, None] + each), w2, b2)) @ w3 + b3
            a = torch.softmax(score, 1)
            q = q @ p.hop_map + (a[:, None] @ slots)[:, 0]
            weights.append(a)
    return q.to(query.dtype), torch.stack(weights, 1)
