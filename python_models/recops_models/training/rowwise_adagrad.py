"""Adagrad with one accumulator per row, for embedding tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class RowwiseAdagrad(torch.optim.Optimizer):
    """``s_r ← s_r + mean_d g_rd²``, then ``w_r ← w_r − lr · g_r / (√s_r + eps)``.

    The state of a table ``[R, d]`` is ``[R]``, 1/(2d) of Adam's. Rows without a gradient do not
    change, so sparse gradients of ``nn.Embedding(sparse=True)`` and dense ones give the same table,
    bit for bit. Sparse gradients cost O(rows of the batch · d); repeated rows are summed first.

    Source: Duchi et al., Adaptive Subgradient Methods, 2011, with its diagonal averaged over each
    row, as Mudigere et al., 2022 (arXiv 2104.05158), §4.1.4, do for large tables.

    Args:
        params: matrices; dimensions after the first are flattened.
        lr: learning rate.
        eps: avoids division by zero for rows with tiny gradients.

    Raises:
        ValueError: ``lr`` or ``eps`` out of range; a scalar parameter.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, *, eps: float = 1e-8) -> None:
        if lr < 0 or eps <= 0:
            raise ValueError(
                f"RowwiseAdagrad: lr must be at least 0 and eps above 0, got {lr} and {eps}"
            )
        super().__init__(params, {"lr": lr, "eps": eps})
        for group in self.param_groups:
            for table in group["params"]:
                if table.ndim < 1:
                    raise ValueError("RowwiseAdagrad: parameters must have rows, got a scalar")
                # Checkpoints have the state of every table, also before its first gradient.
                self.state[table]["sum"] = torch.zeros(
                    len(table), dtype=torch.float32, device=table.device
                )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters, and return the value of ``closure`` if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    _step(table, table.grad, self.state[table]["sum"], group["lr"], group["eps"])
        return loss


def _step(table: Tensor, gradient: Tensor, sums: Tensor, lr: float, eps: float) -> None:
    if gradient.is_sparse:
        gradient = gradient.coalesce()
        rows, gradient = gradient.indices()[0], gradient.values()
        sums.index_add_(0, rows, _mean_square(gradient))
        table.index_add_(0, rows, _scaled(gradient, sums[rows], eps), alpha=-lr)
    else:
        sums += _mean_square(gradient)
        table.add_(_scaled(gradient, sums, eps), alpha=-lr)


def _mean_square(gradient: Tensor) -> Tensor:
    return gradient.float().square().flatten(1).mean(1) if gradient.ndim > 1 else gradient**2


def _scaled(gradient: Tensor, sums: Tensor, eps: float) -> Tensor:
    scale = 1 / (sums.sqrt() + eps)
    return gradient * scale.to(gradient.dtype).view(-1, *[1] * (gradient.ndim - 1))
