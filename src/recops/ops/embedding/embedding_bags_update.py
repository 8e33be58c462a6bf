"""Fused optimizer of embedding tables: the gradient of their bags updates rows in place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from recops._checks import check_choice, check_list, check_number, check_tensor
from recops._load import ops
from recops.ops._composite import check_range
from recops.ops._shapes import check_shape
from recops.ops.embedding._bags import check_bags

__all__ = ["embedding_bags_update_"]

_OPTIMIZERS = ("sgd", "adagrad", "rowwise_adagrad")
_LARGEST = float(torch.finfo(torch.float32).max)


def embedding_bags_update_(
    bags: Iterable[tuple[Tensor, Tensor]],
    grad: Tensor,
    states: Iterable[Tensor] = (),
    *,
    optimizer: Literal["sgd", "adagrad", "rowwise_adagrad"],
    lr: float,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    padding_idx: int | None = None,
) -> None:
    """Update embedding tables in place by the gradient of their bags, without table gradients.

    Row v of a table has the gradient g = Σ ``grad[b]`` over all features f, bags b and positions t
    with ``ids_f[b, t] = v``, plus ``weight_decay · w``. Each row w that occurs is updated once:

    - ``"sgd"``: w ← w − lr · g.
    - ``"adagrad"``: s ← s + g², w ← w − lr · g / (√s + eps), with one s per value.
    - ``"rowwise_adagrad"``: s ← s + mean(g²), w ← w − lr · g / (√s + eps), with one s per row.

    Other rows and the row ``padding_idx`` keep their values, also with weight decay.

    Args:
        bags: ``(weight, ids)`` of each feature, as in :func:`recops.embedding_bags`. Tables must be
            contiguous and must not overlap. Their ``requires_grad`` has no effect.
        grad: gradient ``[B, Σ d]`` of the result of :func:`recops.embedding_bags`, of the tables'
            dtype.
        states: one tensor per distinct table, in order of first use; none for ``"sgd"``. Contiguous
            float32 (float64 for float64 tables), ``[V, d]`` for ``"adagrad"`` and ``[V]`` for
            ``"rowwise_adagrad"``. Zeros before the first update.
        optimizer: the update rule.
        lr: learning rate.
        eps: added to √s.
        weight_decay: coefficient of the L2 penalty on the rows that occur.
        padding_idx: a row of every table that has no gradient.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes, numbers of states or options do not match, or a tensor to change is not
            contiguous.
        IndexError: an id is not a row of its table. No table has changed then.

    Sums and updates are computed in float32 (float64 for float64), and weights are rounded once per
    update. Occurrences are sorted by row; a row's gradient is added feature by feature, in order of
    occurrence. Results are bit-identical at any thread count.

    On CUDA tensors kernels run for float32, bfloat16 and float16, and tables of up to 32 features;
    composites otherwise. They add a gradient in parts of at most 32 occurrences, in a fixed order,
    and can be captured in a CUDA graph. An id that is no row adds nothing there, and raises in
    :func:`recops.debug`.

    With n = Σ B · T occurrences, time is O(n · d + n · log n) and memory O(n), plus one row of sums
    per thread on the CPU and n / 16 rows on a GPU. The size V of a table has no influence.

    Source: J. Duchi et al., "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", 2011. The row-wise rule is that of M. Naumov et al., "Deep Learning
    Recommendation Model for Personalization and Recommendation Systems", 2019 (DLRM), and of
    FBGEMM, whose L2 mode of weight decay also reaches only the rows that occur.

    Examples:
        >>> weight, state = torch.ones(4, 2), torch.zeros(4)
        >>> bags = [(weight, torch.tensor([[1, 2], [1, 1]]))]
        >>> x = recops.embedding_bags(bags).requires_grad_()
        >>> loss = x.square().sum() / 2
        >>> loss.backward()
        >>> recops.embedding_bags_update_(
        ...     bags, x.grad, [state], optimizer="rowwise_adagrad", lr=0.5
        ... )
        >>> weight
        tensor([[1.0000, 1.0000],
                [0.5000, 0.5000],
                [0.5000, 0.5000],
                [1.0000, 1.0000]])
        >>> state
        tensor([ 0., 36.,  4.,  0.])
    """
    op = "embedding_bags_update_"
    weights, ids, tables = check_bags(op, bags, padding_idx)
    check_choice(op, "optimizer", optimizer, _OPTIMIZERS)
    for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
        check_number(op, name, value, least=0.0, most=_LARGEST)
    dtype, device = weights[0].dtype, weights[0].device
    columns = sum(weights[table].shape[1] for table in tables)
    check_tensor(op, "grad", grad, ndim=2, dtypes=(dtype,), device=device)
    check_shape(op, "grad", grad, ids[0].shape[0], columns)
    state_list = check_list(op, "states", states)
    _check_states(op, state_list, weights, optimizer)
    for f, weight in enumerate(weights):
        _check_contiguous(op, f"weight of table {f}", weight)
    if weights[0].is_cuda:
        for f, (feature_ids, table) in enumerate(zip(ids, tables, strict=True)):
            check_range(op, f"bags[{f}]: ids", feature_ids, 0, weights[table].shape[0] - 1)
    ops.embedding_bags_update_(
        [weight.detach() for weight in weights],
        state_list,
        grad.detach(),
        ids,
        tables,
        optimizer,
        float(lr),
        float(eps),
        float(weight_decay),
        -1 if padding_idx is None else padding_idx,
    )
    if not torch.compiler.is_compiling():  # Autograd raises for a graph that saved old values.
        torch.autograd.graph.increment_version([*weights, *state_list])


def _check_states(op: str, states: list[Tensor], weights: list[Tensor], optimizer: str) -> None:
    count = 0 if optimizer == "sgd" else len(weights)
    if len(states) != count:
        raise ValueError(
            f"{op}: states must have {count} tensors for {len(weights)} tables and {optimizer}, "
            f"got {len(states)}"
        )
    for i, (state, weight) in enumerate(zip(states, weights if count else [], strict=True)):
        dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        ndim = 2 if optimizer == "adagrad" else 1
        check_tensor(op, f"states[{i}]", state, ndim=ndim, dtypes=(dtype,), device=weight.device)
        check_shape(op, f"states[{i}]", state, *weight.shape[:ndim])
        _check_contiguous(op, f"states[{i}]", state)


def _check_contiguous(op: str, name: str, tensor: Tensor) -> None:
    if not tensor.is_contiguous():
        raise ValueError(f"{op}: {name} must be contiguous, got strides {tensor.stride()}")


torch.library.register_fake("recops::embedding_bags_update_", lambda *_: None)
