"""Root-mean-square normalisation that stays in its weight's precision."""

from __future__ import annotations

from torch import Tensor, nn


class RMSNorm(nn.RMSNorm):
    """``x / rms(x) · weight`` in the weight's dtype; autocast, which knows layer norm, skips it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))
