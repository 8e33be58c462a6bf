"""Dropout with cheap random masks on the host."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recops._host import reads_are_free
from recops_models.layers.counter_random import LANES, lane_threshold, sixteenth_bits


class Dropout(nn.Dropout):
    """``x ⊙ m / (1 − p)`` in training, with each ``m`` 0 with probability p, else 1.

    In evaluation, the output is x. On the host, a mask takes 16 random bits per unit from torch's
    generator; torch's own dropout draws a double per unit. p is rounded to a multiple of 2⁻¹⁶, also
    in ``1 − p``, so the mean is unchanged. On other devices and in compiled code, torch's dropout
    is used.

    Args:
        p: in [0, 1).

    Raises:
        ValueError: p is out of range.

    Example:
        >>> import torch
        >>> from recops_models.layers.dropout import Dropout
        >>> out = Dropout(0.5)(torch.ones(1000))
        >>> sorted(out.unique().tolist())
        [0.0, 2.0]
    """

    def __init__(self, p: float) -> None:
        sixteenth_bits(p)
        super().__init__(p)

    def forward(self, x: Tensor) -> Tensor:
        is_dropping = self.training and self.p > 0
        if not is_dropping or not reads_are_free(x):
            return super().forward(x)
        words = torch.empty(-(-x.numel() // LANES), dtype=torch.int64).random_(-(1 << 63), None)
        lanes = words.view(torch.int16)[: x.numel()].view(x.shape)
        mask = lanes >= lane_threshold(self.p)
        return x * mask.to(x.dtype).mul_(1 / (1 - sixteenth_bits(self.p)))
