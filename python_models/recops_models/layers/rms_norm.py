"""Root-mean-square normalisation in the precision of its weight."""

from __future__ import annotations

from torch import Tensor, nn


class RMSNorm(nn.RMSNorm):
    """``x / rms(x) · weight`` in the weight's dtype, also under autocast.

    Autocast covers layer norm but not RMS norm.

    Example:
        >>> import torch
        >>> from recops_models.layers.rms_norm import RMSNorm
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     out = RMSNorm(4)(torch.full((2, 4), 3.0, dtype=torch.bfloat16))
        >>> out.dtype
        torch.float32
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))
