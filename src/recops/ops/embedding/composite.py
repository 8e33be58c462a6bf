"""Composite of sums of rows of embedding tables."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops._checks import check_choice
from recops._dtypes import widened
from recops.ops._composite import check_range, sum_by_occurrence, sum_by_row
from recops.ops._shapes import check_between, check_dim, check_shape


def embedding_bags(
    weights: Sequence[Tensor], ids: Sequence[Tensor], tables: Sequence[int], padding_idx: int
) -> Tensor:
    """Compute ``recops::embedding_bags``. Gathers rows ``[B, T, d]``, which a kernel never does."""
    if not weights:
        raise ValueError("embedding_bags: weights must hold at least one table, got none")
    for weight in weights:
        check_dim("embedding_bags", "weights", weight, 2)
    _check_features("embedding_bags", ids, tables, len(weights))
    outputs = []
    for feature, (feature_ids, table) in enumerate(zip(ids, tables, strict=True)):
        weight = weights[table]
        _check_ids("embedding_bags", feature, feature_ids, len(weight))
        rows = widened(weight[feature_ids.long()])
        if feature_ids.ndim == 1:
            rows = rows[:, None]
        if padding_idx >= 0:
            is_padding = (feature_ids == padding_idx).view(*rows.shape[:2], 1)
            rows = rows.masked_fill(is_padding, 0)
        outputs.append(rows.sum(1).to(weight.dtype))
    return torch.cat(outputs, 1)


def embedding_bags_backward(
    grad: Tensor,
    ids: Sequence[Tensor],
    tables: Sequence[int],
    num_rows: Sequence[int],
    widths: Sequence[int],
    padding_idx: int,
) -> list[Tensor]:
    """Compute the gradient of each table, or an empty tensor where ``num_rows`` is −1.

    Much slower than a dedicated kernel: the gradients of all occurrences of ids are sorted and
    summed in log₂ passes (:func:`recops.ops._composite.sum_by_row`).
    """
    op = "embedding_bags_backward"
    _check_features(op, ids, tables, len(widths))
    check_shape(op, "grad", grad, len(ids[0]), sum(widths[table] for table in tables))
    grads = []
    parts = _occurrences(op, grad, ids, tables, num_rows, widths, padding_idx)
    for features, size, width in zip(parts, num_rows, widths, strict=True):
        if not features:
            grads.append(grad.new_zeros((max(size, 0), width)))
            continue
        rows = torch.cat([rows for rows, _ in features])
        values = torch.cat([values for _, values in features])
        grads.append(sum_by_row(values, rows, size).to(grad.dtype))
    return grads


def embedding_bags_update_(
    weights: Sequence[Tensor],
    states: Sequence[Tensor],
    grad: Tensor,
    ids: Sequence[Tensor],
    tables: Sequence[int],
    optimizer: str,
    lr: float,
    eps: float,
    weight_decay: float,
    padding_idx: int,
) -> None:
    """Compute ``recops::embedding_bags_update_`` on the rows that occur.

    Every occurrence of a row writes the same values: the number of distinct rows depends on the
    data, so the host does not know it.
    """
    op = "embedding_bags_update_"
    _check_update(op, weights, states, grad, optimizer)
    num_rows, widths = [len(weight) for weight in weights], [weight.shape[1] for weight in weights]
    _check_features(op, ids, tables, len(weights))
    check_shape(op, "grad", grad, len(ids[0]), sum(widths[table] for table in tables))
    parts = _occurrences(op, grad, ids, tables, num_rows, widths, padding_idx)
    for i, (weight, features) in enumerate(zip(weights, parts, strict=True)):
        if not features or weight.numel() == 0:
            continue
        rows = torch.cat([rows for rows, _ in features])
        values = torch.cat([values for _, values in features])
        rows = rows.masked_fill((rows < 0) | (rows >= len(weight)), -1)
        state = states[i] if states else None
        if len(rows) == 0:
            continue
        _update(weight, state, rows, values, optimizer, lr, eps, weight_decay)


def _update(
    weight: Tensor,
    state: Tensor | None,
    rows: Tensor,
    values: Tensor,
    optimizer: str,
    lr: float,
    eps: float,
    weight_decay: float,
) -> None:
    rows, grads = sum_by_occurrence(values, rows)
    # Without any row to update, row 0 keeps its values.
    is_row = rows >= 0
    rows = rows.clamp(min=0)
    old = widened(weight[rows])
    if weight_decay:
        grads = grads + weight_decay * old
    change = lr * grads
    if state is not None:
        squares = grads.square()
        old_state = state[rows]
        new_state = old_state + (squares if optimizer == "adagrad" else squares.mean(1))
        root = new_state.sqrt() + eps
        change = change / root if optimizer == "adagrad" else (lr / root)[:, None] * grads
        is_updated = is_row if optimizer == "rowwise_adagrad" else is_row[:, None]
        state.index_copy_(0, rows, new_state.where(is_updated, old_state))
    new = (old - change).where(is_row[:, None], old)
    weight.index_copy_(0, rows, new.to(weight.dtype))


def _occurrences(
    op: str,
    grad: Tensor,
    ids: Sequence[Tensor],
    tables: Sequence[int],
    num_rows: Sequence[int],
    widths: Sequence[int],
    padding_idx: int,
) -> list[list[tuple[Tensor, Tensor]]]:
    """Return for each table the rows and gradients of the occurrences of each of its features.

    Row −1 marks padding. Tables with −1 rows are skipped.
    """
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in widths]
    columns = grad.split([widths[table] for table in tables], 1)
    for feature, (feature_ids, table, part) in enumerate(zip(ids, tables, columns, strict=True)):
        if num_rows[table] < 0:
            continue
        _check_ids(op, feature, feature_ids, num_rows[table])
        rows = feature_ids.long()
        rows = rows[:, None] if rows.ndim == 1 else rows
        if padding_idx >= 0:
            rows = rows.masked_fill(rows == padding_idx, -1)
        values = widened(part)[:, None].expand(-1, rows.shape[1], -1)
        parts[table].append((rows.flatten(), values.flatten(0, 1)))
    return parts


def _check_update(
    op: str, weights: Sequence[Tensor], states: Sequence[Tensor], grad: Tensor, optimizer: str
) -> None:
    """Check tables, states and options."""
    if not weights:
        raise ValueError(f"{op}: weights must hold at least one table, got none")
    check_choice(op, "optimizer", optimizer, ("sgd", "adagrad", "rowwise_adagrad"))
    count = 0 if optimizer == "sgd" else len(weights)
    if len(states) != count:
        raise ValueError(f"{op}: states must have {count} tensors, got {len(states)}")
    for weight in weights:
        check_dim(op, "weights", weight, 2)
    for weight, state in zip(weights if count else [], states, strict=True):
        check_shape(op, "states", state, *weight.shape[: 2 if optimizer == "adagrad" else 1])


def _check_features(op: str, ids: Sequence[Tensor], tables: Sequence[int], num_tables: int) -> None:
    """Check that each feature has ids ``[B]`` or ``[B, T]`` and a table."""
    if not ids or len(ids) != len(tables):
        raise ValueError(
            f"{op}: tables must name one for each of at least one feature, "
            f"got {len(tables)} for {len(ids)}"
        )
    count = len(ids[0]) if ids[0].ndim else 0
    for feature_ids, table in zip(ids, tables, strict=True):
        check_between(op, "tables", table, 0, num_tables - 1)
        if feature_ids.ndim not in (1, 2) or len(feature_ids) != count:
            raise ValueError(
                f"{op}: ids must be [{count}] or [{count}, T], got {list(feature_ids.shape)}"
            )


def _check_ids(op: str, feature: int, ids: Tensor, size: int) -> None:
    check_range(op, f"bags[{feature}]: ids", ids, 0, size - 1)
