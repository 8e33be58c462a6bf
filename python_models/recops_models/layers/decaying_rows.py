"""Embedding with lazy, decoupled weight decay."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

Self = TypeVar("Self", bound="DecayingRows")


class DecayingRows(nn.Embedding):
    """Embedding ``[V, d]`` with decoupled weight decay: rows shrink by ``1 − lr λ`` per step.

    The decay is that of AdamW (Loshchilov, Hutter, 2019), in addition to the optimizer's step, but
    lazy. :meth:`touch` applies the product of ``1 − lr_t λ`` over all steps since a row was last
    read. :meth:`advance` applies the factor of the current step to the rows that were read.
    :meth:`settle` applies all pending decay, and so does :meth:`eval`; measured and saved weights
    are always up to date.

    A step costs only the batch's rows. If the optimizer leaves rows without gradient unchanged, the
    result equals that of decaying every row at every step, up to rounding. Adam's momentum also
    moves rows outside the batch. These moves decay only from the next :meth:`touch` on, unless
    every step touches all rows.

    This differs from ``λ/2 ‖w‖²`` in the loss, which Adam divides by the gradient's magnitude.

    Args:
        num_embeddings: V.
        embedding_dim: d.
        decay: λ ≥ 0. Under Adam, a steady gradient brings weights to about ``1 / λ``.

    Raises:
        ValueError: λ is negative or not finite.

    Example:
        >>> import torch
        >>> from recops_models.layers.decaying_rows import DecayingRows
        >>> table = DecayingRows(3, 2, decay=0.5)
        >>> _ = table.weight.data.fill_(1.0)
        >>> table.touch(torch.tensor([1]))
        >>> table.advance(rate=1.0)  # before optimizer.step()
        >>> table.weight[1].tolist(), table.weight[2].tolist()
        ([0.5, 0.5], [1.0, 1.0])
        >>> table.eval().weight[2].tolist()  # pending decay is applied
        [0.5, 0.5]
    """

    clock: Tensor
    decayed_at: Tensor

    def __init__(self, num_embeddings: int, embedding_dim: int, *, decay: float) -> None:
        if not (math.isfinite(decay) and decay >= 0):
            raise ValueError(f"DecayingRows: decay must be ≥ 0, got {decay}")
        super().__init__(num_embeddings, embedding_dim, padding_idx=0)
        self.decay = decay
        self._touched: list[Tensor | None] = []
        # Σ ln(1 − lr_t λ) over all steps, and over the steps already applied to each row.
        self.register_buffer("clock", torch.zeros((), dtype=torch.float64))
        self.register_buffer("decayed_at", torch.zeros(num_embeddings, dtype=torch.float64))

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def moved(tensor: Tensor) -> Tensor:
            try:
                return fn(tensor)
            except TypeError:  # The device has no float64.
                return fn(tensor.float())

        return super()._apply(moved, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def touch(self, rows: Tensor | None) -> None:
        """Apply pending decay to rows that the next step reads.

        Args:
            rows: ``[n]`` i64, distinct; None: all rows.
        """
        if self.decay:
            self._settle(rows)
            self._touched.append(rows)

    @torch.no_grad()
    def advance(self, rate: float) -> None:
        """Apply the decay of one step, just before the optimizer's step.

        Args:
            rate: the learning rate of the step.

        Raises:
            ValueError: rate · λ ≥ 1, which would flip the sign of rows.
        """
        if not self.decay:
            return
        if rate * self.decay >= 1:
            raise ValueError(
                f"DecayingRows: rate · decay must be < 1, got {rate:g} · {self.decay:g}"
            )
        self.clock += math.log1p(-rate * self.decay)
        for rows in self._touched:
            self._settle(rows)
        self._touched = []

    def settle(self) -> None:
        """Apply all pending decay."""
        self._settle(None)

    def train(self: Self, mode: bool = True) -> Self:
        """Set the mode, see :meth:`torch.nn.Module.train`; the change to evaluation settles."""
        if not mode and self.training:
            self.settle()
        return super().train(mode)

    @torch.no_grad()
    def _settle(self, rows: Tensor | None) -> None:
        if not self.decay:
            return
        if rows is None:
            self.weight *= (self.clock - self.decayed_at).exp()[:, None].to(self.weight.dtype)
            self.decayed_at.copy_(self.clock.expand_as(self.decayed_at))
            return
        factor = (self.clock - self.decayed_at[rows]).exp()
        self.weight[rows] *= factor[:, None].to(self.weight.dtype)
        self.decayed_at[rows] = self.clock
