"""An embedding whose rows decay, each when it is next looked at."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

Self = TypeVar("Self", bound="DecayingRows")


class DecayingRows(nn.Embedding):
    """``[V, d]`` whose rows are multiplied by ``1 − lr λ`` at every step, beside the optimizer's
    own change: decoupled weight decay, as AdamW's (Loshchilov, Hutter, 2019).

    It is applied lazily: :meth:`touch` multiplies what is about to be read by the product of
    ``1 − lr_t λ`` over the steps since it was last, and :meth:`advance` what was read by that of
    the step. Optimizers that leave rows without gradient as they are so make the same table as one
    that visits every row at every step, up to rounding, at a cost of the batch's rows. (Adam's
    momentum also moves rows that are not in the batch: what these still move is decayed from the
    next look on, unless all rows are touched at every step.) :meth:`settle` does what is left, and
    so does :meth:`eval`: what is measured or saved is never behind.

    Not the same as ``λ/2 ‖w‖²`` in the loss, which Adam divides by the gradient's own size.

    Args:
        num_embeddings: V.
        embedding_dim: d.
        decay: λ ≥ 0. Rows that gradients push at a steady rate end about ``1 / λ`` large under
            Adam.

    Raises:
        ValueError: λ is negative or not finite.
    """

    clock: Tensor
    decayed_at: Tensor

    def __init__(self, num_embeddings: int, embedding_dim: int, *, decay: float) -> None:
        if not (math.isfinite(decay) and decay >= 0):
            raise ValueError(f"DecayingRows: decay must be ≥ 0, got {decay}")
        super().__init__(num_embeddings, embedding_dim, padding_idx=0)
        self.decay = decay
        self._touched: list[Tensor | None] = []
        # Σ ln(1 − lr_t λ) over all steps, and over those that each row has been through.
        self.register_buffer("clock", torch.zeros((), dtype=torch.float64))
        self.register_buffer("decayed_at", torch.zeros(num_embeddings, dtype=torch.float64))

    def touch(self, rows: Tensor | None) -> None:
        """Do the decay that is due on rows ``[n]``, each once (None: all), which the next step
        changes.
        """
        if self.decay:
            self._settle(rows)
            self._touched.append(rows)

    @torch.no_grad()
    def advance(self, rate: float) -> None:
        """A step at this learning rate is about to be made.

        Raises:
            ValueError: the step would turn rows round: rate · λ ≥ 1.
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
        """Do all decay that is due."""
        self._settle(None)

    def train(self: Self, mode: bool = True) -> Self:
        """See :meth:`torch.nn.Module.train`; going to evaluation settles."""
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
