"""Dice in torch ops, for peers that share the modules of a model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.layers.dice import Dice


class PlainDice(nn.Module):
    """Dice with the parameters and the running averages of ``layer``."""

    def __init__(self, layer: Dice) -> None:
        super().__init__()
        assert not layer.always_batch
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, width]`` for ``[B, width]``."""
        layer = self.layer
        standardised = F.batch_norm(
            x,
            layer.running_mean,
            layer.running_var,
            training=layer.training and len(x) > 1,
            momentum=layer.momentum,
            eps=layer.eps,
        )
        return x * (layer.alpha + (1 - layer.alpha) * torch.sigmoid(standardised))


def plain_layers(layers: nn.Sequential) -> nn.Sequential:
    """Return the same modules, with Dice in its plain form."""
    return nn.Sequential(
        *(PlainDice(layer) if isinstance(layer, Dice) else layer for layer in layers)
    )
