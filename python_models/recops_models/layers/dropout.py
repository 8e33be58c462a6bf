"""Dropout whose masks cost little on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recops_models.layers.counter_random import LANES, lane_threshold, sixteenth_bits


class Dropout(nn.Dropout):
    """``x ⊙ m / (1 − p)`` in training, each ``m`` 0 with probability p and else 1; x otherwise.

    On a CPU a mask is compared with 16 bits a unit, of words of torch's generator: p is rounded to
    a multiple of 2⁻¹⁶, and what is kept is divided by the rounded one, so that means stay. Torch's
    own draws a double for every unit. With compiled code, and on other devices, it is torch's.

    Args:
        p: within [0, 1).

    Raises:
        ValueError: p is out of range.
    """

    def __init__(self, p: float) -> None:
        sixteenth_bits(p)
        super().__init__(p)

    def forward(self, x: Tensor) -> Tensor:
        if (
            not (self.training and self.p)
            or x.device.type != "cpu"
            or torch.compiler.is_compiling()
        ):
            return super().forward(x)
        words = torch.empty(-(-x.numel() // LANES), dtype=torch.int64).random_(-(1 << 63), None)
        lanes = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = lanes >= lane_threshold(self.p)
        return x * kept.to(x.dtype).mul_(1 / (1 - sixteenth_bits(self.p)))
