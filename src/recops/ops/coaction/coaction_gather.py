"""Co-action of rows of two tables, with the look-ups fused into the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recops._checks import INDICES, check_flag, check_tensor
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._autograd import refuse_derivative, register_autograd
from recops.ops.coaction._options import (
    Inputs,
    check_dims,
    check_feed,
    check_options,
    check_params,
    check_users,
    no_gradients,
    save_call,
    saved_call,
)
from recops.state.coaction import Activation, CoactionOptions, Pool

__all__ = ["coaction_gather"]


def coaction_gather(
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    *,
    sparse: bool = False,
    orders: int = 1,
    lengths: Tensor | None = None,
    feed_index: Tensor | None = None,
    bias: bool = False,
    activation: Activation = "tanh",
    activate_last: bool = False,
    concat_hidden: bool = True,
    pool: Pool = "sum",
    order_independent: bool = False,
) -> Tensor:
    """Compute ``coaction(feed_table[history], params_table[targets], dims, …)``, look-ups fused.

    The gathered rows ``[U, T, d0]`` and parameters ``[B, P]`` are never materialised. A small feed
    table (N ≤ 8 T) often has rows that occur several times in a history. Such a row is computed
    once and multiplied by its count; the result is equal up to rounding. In the backward pass the
    gradients of a repeated table row are added in order of occurrence, so they are bit-identical at
    any thread count.

    Args:
        feed_table: ``[N, d0]``, dtypes as in :func:`recops.coaction`.
        history: ``[U, T]`` int32 or int64, rows of ``feed_table``; entries past the lengths are
            ignored.
        params_table: ``[M, P]`` of feed_table's dtype, or float32 if feed_table is 16-bit.
        targets: ``[B]`` int32 or int64, rows of ``params_table``.
        dims: as in :func:`recops.coaction`.
        sparse: whether the tables get sparse gradients: coalesced COO tensors of only the rows
            that occur, as for ``nn.Embedding(sparse=True)``. Not available under
            ``torch.compile``, which does not support sparse gradients.
        orders: this and all following arguments are as in :func:`recops.coaction`.

    Returns:
        The result of :func:`recops.coaction`.

    Raises:
        TypeError, ValueError: as in :func:`recops.coaction`.
        IndexError: an entry of ``targets``, of ``feed_index`` or of ``history`` below its user's
            length is not a row. A CUDA GPU with Triton gives NaN instead, as in
            :func:`recops.coaction`.

    Time is that of :func:`recops.coaction`. The backward pass also sorts, in O(U · T + B), and with
    dense gradients writes both tables.

    Source: that of :func:`recops.coaction`. Fused look-ups and computing a repeated row once are
    additions of this library.

    Examples:
        >>> feed_table, history = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0, 2]])
        >>> params_table, targets = torch.tensor([[10.0], [100.0]]), torch.tensor([1])
        >>> recops.coaction_gather(feed_table, history, params_table, targets, (1, 1))
        tensor([[400.]])
    """
    op = "coaction_gather"
    sizes = check_dims(op, "dims", dims)
    options = CoactionOptions(
        orders,
        lengths,
        feed_index,
        bias,
        activation,
        activate_last,
        concat_hidden,
        pool,
        order_independent,
    )
    check_options(op, options)
    check_flag(op, "sparse", sparse)
    check_feed(op, "feed_table", feed_table, 2, sizes[0])
    device = feed_table.device
    check_tensor(op, "history", history, ndim=2, dtypes=INDICES, device=device)
    check_params(op, "params_table", params_table, sizes, options, feed_table)
    check_tensor(op, "targets", targets, ndim=1, dtypes=INDICES, device=device)
    check_users(op, options, history.shape[0], targets.shape[0], device, "targets")
    return ops.coaction_gather(feed_table, history, params_table, targets, sizes, sparse, *options)


def _fake_gather(
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: list[int],
    sparse: bool,
    *options: Any,
) -> Tensor:
    return feed_table.new_empty((targets.shape[0], CoactionOptions(*options).output_width(dims)))


def _fake_backward(
    grad: Tensor, feed_table: Tensor, history: Tensor, params_table: Tensor, *options: Any
) -> tuple[Tensor, Tensor]:
    return feed_table.new_empty(feed_table.shape), params_table.new_empty(params_table.shape)


def _fake_backward_sparse(
    grad: Tensor, feed_table: Tensor, history: Tensor, params_table: Tensor, *options: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    size = torch.library.get_ctx().new_dynamic_size
    fed, used = size(), size()
    return (
        history.new_empty(fed, dtype=torch.int64),
        feed_table.new_empty((fed, feed_table.shape[1])),
        history.new_empty(used, dtype=torch.int64),
        params_table.new_empty((used, params_table.shape[1])),
    )


def _save(ctx: Any, inputs: Inputs, output: Tensor) -> None:
    feed_table, history, params_table, targets, ctx.dims, ctx.sparse, *options = inputs
    save_call(ctx, (feed_table, history, params_table, targets), options)


def _grad(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (feed_table, history, params_table, targets), options = saved_call(ctx)
    arguments = (grad, feed_table, history, params_table, targets, ctx.dims, *options)
    if ctx.sparse:
        feed_ids, feed, params_ids, params = ops.coaction_gather_backward_sparse(*arguments)
        grads = _coo(feed_ids, feed, feed_table), _coo(params_ids, params, params_table)
    else:
        grads = ops.coaction_gather_backward(*arguments)
    return grads[0], None, grads[1], *no_gradients(3)


def _coo(ids: Tensor, rows: Tensor, table: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(
        ids[None], rows, table.shape, is_coalesced=True, check_invariants=False
    )


torch.library.register_fake("recops::coaction_gather", _fake_gather)
torch.library.register_fake("recops::coaction_gather_backward", _fake_backward)
torch.library.register_fake("recops::coaction_gather_backward_sparse", _fake_backward_sparse)
register_autograd("coaction_gather", _grad, _save)
refuse_derivative("coaction_gather_backward", "co-action has")
refuse_derivative("coaction_gather_backward_sparse", "co-action has")
autocast_to_float32("coaction_gather")
