"""Dice by torch's own ops, for peers that share the modules of a model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.layers.dice import Dice


class PlainDice(nn.Module):
    """What ``ours`` computes, of its parameters and with its running averages."""

    def __init__(self, ours: Dice) -> None:
        super().__init__()
        assert not ours.always_batch
        self.ours = ours

    def forward(self, x: Tensor) -> Tensor:
        """``[B, width]`` to ``[B, width]``."""
        ours = self.ours
        standardised = F.batch_norm(
            x,
            ours.running_mean,
            ours.running_var,
            training=ours.training and len(x) > 1,
            momentum=ours.momentum,
            eps=ours.eps,
        )
        return x * (ours.alpha + (1 - ours.alpha) * torch.sigmoid(standardised))


def plain_layers(layers: nn.Sequential) -> nn.Sequential:
    """The same modules, Dice in its plain form."""
    return nn.Sequential(
        *(PlainDice(layer) if isinstance(layer, Dice) else layer for layer in layers)
    )
