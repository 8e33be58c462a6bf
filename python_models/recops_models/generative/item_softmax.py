"""Softmax over all items, without a matrix of log-probabilities."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable


def item_softmax_loss(state: Tensor, table: Tensor, bias: Tensor, target: Tensor) -> Tensor:
    """Return ``−log softmax(E h + b)_y`` for each state h and target item y, ``[n]``.

    Equals ``F.cross_entropy(F.linear(state, table, bias), target, reduction="none")``, which
    allocates four matrices ``[n, N]`` and fills each of them. This allocates one, and its backward
    pass only multiplies that matrix: with ``e = exp(E h + b − max)``, the gradient by the logits is
    ``(e − onehot(y) Σ e) / Σ e``, whose denominator moves to the small factors. Under autocast, the
    function above is computed.

    Args:
        state: h, ``[n, d]``.
        table: E, ``[N, d]``.
        bias: b, ``[N]``; −inf excludes an item.
        target: y, ``[n]`` i64, from 0.

    Complexity:
        O(n N d) time, O(n N) memory.

    Example:
        >>> import torch
        >>> from recops_models.generative.item_softmax import item_softmax_loss
        >>> state, table = torch.zeros(1, 4), torch.ones(2, 4)
        >>> item_softmax_loss(state, table, torch.zeros(2), torch.tensor([1]))  # log 2
        tensor([0.6931])
    """
    if torch.is_autocast_enabled(state.device.type):
        return F.cross_entropy(F.linear(state, table, bias), target, reduction="none")
    losses: Tensor = _ItemSoftmax.apply(state, table, bias, target)  # type: ignore[no-untyped-call]
    return losses


class _ItemSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, state: Tensor, table: Tensor, bias: Tensor, target: Tensor
    ) -> Tensor:
        logits, chosen = torch.addmm(bias, state, table.T), target[:, None]
        picked, top = logits.gather(1, chosen), logits.amax(1, keepdim=True)
        exponentials = logits.sub_(top).exp_()
        total = exponentials.sum(1, keepdim=True)
        numerators = exponentials.scatter_add_(1, chosen, -total)
        ctx.save_for_backward(state, table, numerators, total)
        return (total.log() + (top - picked))[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        saved: tuple[Tensor, ...] = ctx.saved_tensors
        state, table, numerators, total = saved
        scale = gradient[:, None] / total
        of_state = (numerators @ table) * scale
        of_table = numerators.T @ (state * scale)
        return of_state, of_table, (numerators.T @ scale)[:, 0], None
