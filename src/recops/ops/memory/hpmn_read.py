"""Multi-hop reading of a user's HPMN memory by candidates."""

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
    """Read a user's memory by attention over its slots, in several hops.

    Each hop has one network of three layers::

        q = query_w · query + query_b
        s_j = w3 · relu(w2 · relu(w1 · [q; m_j; q − m_j; q ∘ m_j] + b1) + b2) + b3
        a = softmax(s)
        q ← q · hop_map + Σ_j a_j m_j

    Dense products take almost all of the time, so this function uses torch's products and runs on
    any device. Differentiable in query, pool and parameters.

    Args:
        query: ``[C, I]`` float32, bfloat16, float16 or float64.
        pool: the users' memories.
        rows: ``[C]`` int32 or int64, the row that each candidate reads; candidates may share one.
        params: tensors of any floating dtype, converted to that of the pool.

    Returns:
        ``out [C, H]`` of query's dtype and ``weights [C, hops, m]`` of the pool's.

    Raises:
        TypeError: a tensor has an unsupported dtype, or the pool's dtype does not match query.
        ValueError: shapes, sizes or devices do not match.
        IndexError: a row is outside the pool.

    Time per candidate is O(80 · hops · m · H) and does not depend on the length of the history.

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
            # w1 · [q; m; q − m; q ∘ m] without the concatenation: the terms in q alone take one
            # product per candidate.
            w_q, w_slot, w_difference, w_product = w1.chunk(4, 1)
            query_term = linear(q, w_q + w_difference, b1)
            slot_term = linear(slots, w_slot - w_difference) + linear(q[:, None] * slots, w_product)
            hidden = linear(torch.relu(query_term[:, None] + slot_term), w2, b2)
            score = torch.relu(hidden) @ w3 + b3
            a = torch.softmax(score, 1)
            q = q @ p.hop_map + (a[:, None] @ slots)[:, 0]
            weights.append(a)
    return q.to(query.dtype), torch.stack(weights, 1)
