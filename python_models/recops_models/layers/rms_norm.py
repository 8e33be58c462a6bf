"""Root-mean-square normalisation in the precision of its weight."""

from __future__ import annotations

from torch import Tensor, nn


class RMSNorm(nn.RMSNorm):
    """``x / rms(x) · weight`` in the weight's dtype, also under autocast.

    Autocast covers layer norm but not RMS norm.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))
